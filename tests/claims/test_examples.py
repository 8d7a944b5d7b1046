"""The five published studies: each verdict checked against numbers counted by hand."""

import pytest

from cutis.claims import examples, reading
from cutis.claims.check import check
from cutis.claims.finding import Finding


def findings(name: str) -> list[Finding]:
    return check(reading.parse(examples.text(name)))


def only(found: list[Finding], rule: str, where: str = "") -> Finding:
    chosen = [f for f in found if f.rule == rule and where in f.where]
    assert len(chosen) == 1, [f.where for f in found if f.rule == rule]
    return chosen[0]


def graver(found: list[Finding], severity: str) -> set[tuple[str, str]]:
    return {(f.rule, f.where) for f in found if f.severity == severity}


def test_each_study_of_the_recipe_book_has_its_table() -> None:
    assert examples.names() == ["acne-severity", "acne-types", "dermamnist", "isic2019", "six-diseases"]


def test_s0_has_no_figure_to_check() -> None:
    found = findings("acne-severity")
    assert only(found, "no-figure").severity == "weak"
    assert not graver(found, "impossible") | graver(found, "implausible")


def test_s1_malignant_recall_moves_by_12_8_standard_errors_and_894_was_to_be_expected() -> None:
    found = findings("isic2019")
    assert not graver(found, "impossible")
    # 1,184 of 1,412 against 1,381 of 1,412: pooled 2,565 of 2,824 = .90829, error sqrt(.90829 x .09171 x 2 / 1,412) = .010862
    malignant = only(found, "recall-moved", "recall of malignant")
    assert malignant.severity == "implausible"
    assert malignant.arithmetic == "0.839 (1,184 of 1,412) against 0.978 (1,381 of 1,412): z = 12.8"
    # 2,667 of 2,809 against 1,388 of 1,404: pooled .96250, error sqrt(.96250 x .03750 x (1 / 2,809 + 1 / 1,404)) = .006209
    assert only(found, "recall-moved", "recall of benign").arithmetic.endswith("0.989 (1,388 of 1,404): z = 6.3")
    # 1,404 / 2,816 x 2,667 / 2,809 + 1,412 / 2,816 x 1,184 / 1,412 = .4734 + .4205
    expected = only(found, "rebalanced-accuracy", "binary matrix on balanced test")
    assert "= 0.894; printed 0.9833" in expected.arithmetic
    assert "0.894 was to be expected" in expected.sentence


def test_s1_balanced_98_5_per_cent_is_out_of_reach_of_its_own_unbalanced_accuracy() -> None:
    found = findings("isic2019")
    # .9116 of 4,221: 373 wrong; all of them benign leaves (1 - 373 / 2,809) x .4986 + .5014 = .934
    last = only(found, "rebalanced-accuracy", "binary stage 3 on balanced test")
    assert last.severity == "implausible"
    assert "Accuracy is .9851 on balanced test" in last.sentence
    assert "and 0.934 was to be expected" in last.sentence
    where = {w for r, w in graver(found, "implausible") if r == "rebalanced-accuracy"}
    assert not any("stage 1" in w for w in where)  # .8010 and .8157 agree


def test_s1_first_matrix_is_in_no_row_and_the_second_is_the_middle_stage() -> None:
    found = findings("isic2019")
    first, second = only(found, "matrix-in-no-row", "on test"), only(found, "matrix-in-no-row", "on balanced test")
    assert first.severity == "weak"
    assert first.arithmetic.startswith("3,851 of 4,221 = 0.9123;")  # 2,667 + 1,184
    assert second.severity == "note"
    assert second.sentence == "The matrix is that of binary stage 2, not of binary stage 3, the best row (.9851)."


def test_s2_needs_more_than_about_300_images() -> None:
    found = findings("acne-types")
    gain = only(found, "significance")
    assert gain.severity == "weak"
    # 2 x .83 x .17 x (1.96 / .06)^2 = 301
    assert "only with more than about 300 test images" in gain.sentence
    assert gain.arithmetic.endswith("= 301 images a set")
    assert only(found, "one-seed").severity == "weak"
    assert ".90 - .80 = 0.100" in only(found, "validation-above-test").arithmetic
    assert not graver(found, "impossible") | graver(found, "implausible")


def test_s3_accuracies_are_attainable_at_1232_and_not_at_1227() -> None:
    found = findings("dermamnist")
    assert not graver(found, "impossible") | graver(found, "implausible")
    # 1,019 / 1,232 = .82711, 1,046 / 1,232 = .84903, 1,016 / 1,232 = .82468; 1,041 / 1,227 = .84841, 1,042 / 1,227 = .84923
    attainable = only(found, "accuracy-attainable")
    assert attainable.severity == "note"
    assert "fit n = 1,232, not 1,227" in attainable.sentence
    for fraction in ("1,019/1,232", "1,046/1,232", "1,016/1,232"):
        assert fraction in attainable.arithmetic


def test_s3_resnet_is_below_always_nv_and_its_best_heads_cannot_be_told_apart() -> None:
    found = findings("dermamnist")
    line = only(found, "majority-line", "ResNet-50")
    assert line.severity == "weak"
    assert line.sentence == "Accuracy .6663 lies below always answering nv (0.6688)."  # 1,341 of 2,005
    corrected = only(found, "majority-line", "Effv3")
    assert corrected.severity == "note"
    assert "nv: 951 of 1,232 = 0.7719" in corrected.arithmetic
    assert "8 points above" in corrected.sentence
    # .0243 / sqrt(2 x .83685 x .16315 / 1,232) = .0243 / .014887
    heads = only(found, "significance", "Effv3 against Effv4")
    assert heads.severity == "weak"
    assert "= 1.6 at n = 1,232" in heads.arithmetic


def test_s4_one_f1_is_impossible_and_229_of_849_are_missed() -> None:
    found = findings("six-diseases")
    assert {rule for rule, _ in graver(found, "impossible")} == {"f1-above-mean"}  # (65.38 + 62.29) / 2 = 63.835 < 67.18
    impossible = only(found, "f1-above-mean")
    assert "ResNet-50" in impossible.where
    assert "63.835 %" in impossible.arithmetic
    assert not graver(found, "implausible")
    missed = only(found, "class-that-matters")
    assert missed.severity == "weak"
    assert missed.sentence == "229 of 849 images of Malign are missed, which is not reported."
    assert only(found, "compared-on-other-images").severity == "weak"


@pytest.mark.parametrize("name", examples.names())
def test_every_finding_says_where_how_and_by_what_rule(name: str) -> None:
    for finding in findings(name):
        assert finding.where
        assert finding.sentence
        assert finding.arithmetic
        assert finding.source
        assert "\n" not in finding.arithmetic
