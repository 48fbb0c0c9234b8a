"""What a network is shown and what its output is taken for."""

import math
from typing import ClassVar

import pytest
import torch
from ornstein.core import schedules
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.denoiser import NeuralDenoiser, as_time, token_time
from ornstein.core.parametrization import EDM, V
from ornstein.core.posterior import Categorical, Continuous, Posterior
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.schedules import VP
from ornstein.core.state import CentreFree, Field, Known, Layout

X = Field("x", "continuous", 3, Gaussian(), space=CentreFree())
A = Field("a", "categorical", 4, Masked())
E = Field("e", "continuous", 2, Gaussian(), axes="pair")
FIELDS = (X, A, E)


class Shown(Backbone):
    """Keeps what it is shown and answers with ones, padding and diagonal included."""

    per_token_time: ClassVar[bool] = True

    def __init__(self, fields, conditions=(), axes=0, self_conditioning=False) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes, self.self_conditioning = fields, conditions, axes, self_conditioning

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        self.inputs, self.c_noise, self.previous = inputs, c_noise, previous
        b, n = layout.mask.shape
        out = {}
        for f in self.fields:
            value = torch.arange(b * n, dtype=torch.float64).view(b, n, 1) ** 2
            value = value if f.axes == "token" else value[:, :, None] + value[:, None]
            out[f.name] = value.expand(*value.shape[:-1], f.channels).float()
        return out


def setting(fields=FIELDS, **options):
    net = Shown(fields, **options)
    layout = Layout.of_sizes(torch.tensor([4, 2]))
    g = torch.Generator().manual_seed(0)
    shapes = {"x": (2, 4, 3), "e": (2, 4, 4, 2)}
    state = {f.name: torch.randn(shapes[f.name], generator=g) for f in fields if f.kind == "continuous"}
    if any(f.name == "a" for f in fields):
        state["a"] = torch.randint(0, 5, (2, 4), generator=g)
    return net, layout, state


def test_time_may_be_a_number_or_a_tensor():
    net, layout, state = setting()
    denoiser = NeuralDenoiser(net, FIELDS)
    outs = []
    for t in (0.3, torch.full((2,), 0.3), torch.full((2, 4), 0.3, dtype=torch.float64)):
        outs.append(denoiser(state, t, layout, {})["x"].x0)
        assert net.c_noise.shape == ((2,) if not isinstance(t, torch.Tensor) else t.shape)
        assert net.c_noise.dtype == torch.float32
        assert net.c_noise.flatten().tolist() == pytest.approx([math.log(0.3 / 0.7) / 4] * net.c_noise.numel())
    for other in outs[1:]:
        torch.testing.assert_close(other, outs[0])
    assert as_time(0.1, layout.mask).tolist() == [0.1, 0.1]  # float64: 0.1 itself


def test_the_network_sees_unit_variance_and_the_first_gaussian_clock():
    fields = (A, Field("x", "continuous", 3, Gaussian(schedules.EDM(), EDM(), sigma_data=0.5)), E)
    net, layout, state = setting(fields)
    NeuralDenoiser(net, fields)(state, 0.1, layout, {})
    sigma = 8.0
    torch.testing.assert_close(net.inputs["x"], state["x"] / math.sqrt(sigma**2 + 0.25))
    torch.testing.assert_close(net.inputs["e"], state["e"] / math.sqrt(0.9**2 + 0.1**2))
    assert torch.equal(net.inputs["a"], state["a"])
    assert net.c_noise.tolist() == pytest.approx([math.log(sigma) / 4] * 2)


def test_without_a_gaussian_field_the_clock_is_t():
    net, layout, state = setting((A,))
    denoiser = NeuralDenoiser(net, (A,))
    for t, c in ((0.0, -3), (1e-9, -2.5), (0.5, 0), (1.0, 2.5)):
        denoiser(state, t, layout, {})
        assert net.c_noise.tolist() == pytest.approx([c, c], abs=1e-6)
    assert denoiser.time_field() is None


def test_outputs_lie_in_the_space_and_padding_is_empty():
    net, layout, state = setting()
    posterior = NeuralDenoiser(net, FIELDS)(state, 0.4, layout, {})
    x, e, a = posterior["x"], posterior["e"], posterior["a"]
    assert isinstance(x, Continuous)
    assert isinstance(a, Categorical)
    assert float(x.output.sum(1).abs().max()) < 1e-5
    assert (x.output[1, 2:] == 0).all()
    assert float(x.output[0].std()) > 0.1
    assert (e.output.diagonal(dim1=1, dim2=2) == 0).all()
    assert (e.output[1, 2:] == 0).all()
    assert (e.output[1, :, 2:] == 0).all()
    assert (e.output[0, 0, 1] == 1).all()
    torch.testing.assert_close(posterior["x"].x0, state["x"] - 0.4 * x.output)  # rectified: x0 = x_t - t F
    masked = state["a"] == 4
    assert torch.equal(a.x0[~masked & layout.mask], state["a"][~masked & layout.mask])


def test_tokens_known_whole_have_time_zero():
    net, layout, state = setting()
    denoiser = NeuralDenoiser(net, FIELDS)
    bits = {"x": torch.zeros(2, 4, 3, dtype=torch.bool), "a": torch.zeros(2, 4, dtype=torch.bool)}
    bits["x"][0, 1], bits["a"][0, 1], bits["x"][0, 2] = True, True, True
    known = Known(bits, state)
    t = token_time(denoiser, torch.tensor([0.5, 0.7]), layout.mask, known)
    torch.testing.assert_close(t, torch.tensor([[0.5, 0, 0.5, 0.5], [0.7] * 4]))
    denoiser(state, 0.5, layout, {}, known)
    assert net.c_noise[0, 1] == -3
    posterior = denoiser(state, 0.5, layout, {}, known)
    torch.testing.assert_close(posterior["x"].x0[0, 1], state["x"][0, 1])  # at t = 0 the state is the data
    denoiser.per_token_time = False
    assert token_time(denoiser, torch.tensor([0.5, 0.7]), layout.mask, known).shape == (2,)
    denoiser(state, 0.5, layout, {}, known)
    assert net.c_noise.shape == (2,)


def test_the_last_estimate_is_shown_to_networks_that_take_it():
    for takes in (False, True):
        net, layout, state = setting(self_conditioning=takes)
        denoiser = NeuralDenoiser(net, FIELDS)
        assert denoiser.self_conditioning == takes
        first = denoiser(state, 0.5, layout, {})
        assert net.previous is None
        denoiser(state, 0.4, layout, {}, None, first)
        if takes:
            torch.testing.assert_close(net.previous["x"], first["x"].x0)
            torch.testing.assert_close(net.previous["a"], first["a"].probs)
        else:
            assert net.previous is None


def test_views_are_computed_when_asked_for():
    """A posterior costs nothing until a view is read; a mapping in the order of the fields."""
    net, layout, state = setting()
    posterior = NeuralDenoiser(net, FIELDS)(state, 0.5, layout, {})
    assert isinstance(posterior, Posterior)
    assert list(posterior) == ["x", "a", "e"]
    assert "x0" not in vars(posterior["x"])
    assert posterior["x"].x0 is posterior["x"].x0
    with pytest.raises(ValueError, match="cannot mix a Continuous view with a Categorical"):
        posterior["x"].mix(posterior["a"], 2.0)


def test_another_process_may_be_chosen_for_a_field():
    other = Gaussian(VP(), V())
    denoiser = NeuralDenoiser(Shown(FIELDS), FIELDS, processes={"e": other})
    assert denoiser.processes == {"x": X.process, "a": A.process, "e": other}
    assert denoiser.time_field() is X.process


@pytest.mark.parametrize(
    ("processes", "words"),
    [
        ({"y": Gaussian()}, "process for y: the fields are x, a, e"),
        ({"a": Gaussian()}, "'a' is categorical"),
        ({"x": Masked()}, "'x' is continuous"),
    ],
)
def test_processes_that_do_not_fit_are_refused(processes, words):
    with pytest.raises(ValueError, match=words):
        NeuralDenoiser(Shown(FIELDS), FIELDS, processes=processes)


@pytest.mark.parametrize("name", ["values", "keys", "items", "forward", "training"])
def test_a_field_may_have_any_name(name):
    f = Field(name, "continuous", 1, Gaussian())
    assert list(NeuralDenoiser(Shown((f,)), (f,)).fields) == [name]
