"""What processes that share a search have in common: the storage, signs of life, and candidates given back by who stopped or died."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from cutis.errors import CutisError
from cutis.search.samplers import Generations

JOURNAL = "journal:"
LEASE = 300.0  # seconds without a sign of life after which another process's candidates are given to others
BEAT = 20.0  # seconds between two signs of life


def storage(url: str) -> BaseStorage:
    """Where a study lies: ``journal:FILE`` (a file that processes share, also over a network), or a database's URL such as
    ``sqlite:///FILE``. Raises CutisError where it cannot be opened."""
    try:
        if url.startswith(JOURNAL):
            file = url.removeprefix(JOURNAL)
            return JournalStorage(JournalFileBackend(file, lock_obj=_Lock(file)))
        wait = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else {}  # for others who write
        return RDBStorage(url, engine_kwargs=wait)
    except Exception as error:
        raise CutisError(f"The storage {url} cannot be opened ({error}). Give journal:FILE, sqlite:///FILE or a database's URL.") from error


def key(trial: Trial | FrozenTrial) -> int:
    """What a candidate's start weights and dropout are drawn from: its number, or, where it is begun again, its first."""
    return int(trial.user_attrs.get("key", trial.number))


def me() -> str:
    """A name for this process: its host, its number, and when it was made."""
    return f"{socket.gethostname()} {os.getpid()} {time.time_ns()}"


def sign(study: Study, me: str) -> None:
    """A sign of life."""
    if time.time() - study.user_attrs.get(f"alive {me}", 0.0) > BEAT:
        study.set_user_attr(f"alive {me}", time.time())


def take_back(study: Study) -> None:
    """Give what processes that died had begun to whoever asks next."""
    begun = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    for trial in begun:
        worker = trial.user_attrs.get("worker", "")
        seen = study.user_attrs.get(f"alive {worker}") or (trial.datetime_start.timestamp() if trial.datetime_start else 0.0)
        host, _, process = worker.rpartition(" ")[0].rpartition(" ")
        if time.time() - seen > LEASE or (host == socket.gethostname() and not _runs(int(process))):
            _give_back(study, trial)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def given_back(study: Study, trials: Sequence[Trial]) -> Iterator[None]:
    """Where training stops, what was not told is given back."""
    try:
        yield
    except BaseException:
        for trial in running(study, trials):
            _give_back(study, trial)
        raise


def running(study: Study, trials: Sequence[Trial]) -> list[FrozenTrial]:
    """As the storage has those of them that are not told yet."""
    numbers = {trial.number for trial in trials}
    return [trial for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]) if trial.number in numbers]


def _give_back(study: Study, trial: FrozenTrial) -> None:
    """End a candidate as failed and have it begun again: the same genes, start weights and dropout."""
    sampler = study.sampler
    assert isinstance(sampler, Generations)
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, RuntimeError):
        return  # another process was quicker
    if trial.params.keys() == sampler.distributions.keys():  # else it had not been drawn yet
        study.enqueue_trial(dict(trial.params), user_attrs={"key": key(trial)})


class _Lock(JournalFileOpenLock):
    """Keeps other processes from writing at once. Unlike Optuna's own, a process that is killed does not leave it behind."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.path = f"{file}.lock"

    def acquire(self) -> bool:
        """Wait for it."""
        self._file = open(self.path, "a")  # noqa: SIM115, PTH123 - release closes it
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let others write."""
        self._file.close()
