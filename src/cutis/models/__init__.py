"""Backbones, heads and what computes with them; torchvision is made importable first, because timm needs it."""

from cutis.models.torchvision_guard import guard

guard()
