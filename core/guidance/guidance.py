"""The contract of guidance: a denoiser that holds a denoiser."""

from __future__ import annotations

from ..denoiser import Denoiser


class Guidance(Denoiser):
    """Everything but `forward` is the held denoiser's."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.fields, self.processes, self.conditions = denoiser.fields, denoiser.processes, denoiser.conditions
        self.modality = denoiser.modality
        self.per_token_time, self.self_conditioning = denoiser.per_token_time, denoiser.self_conditioning
