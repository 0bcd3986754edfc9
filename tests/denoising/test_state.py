import dataclasses
import json

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.families import fingerprint, wrap
from netdiffuse.denoising.state import ChainState, ChainStateError, stack
from netdiffuse.denoising.wire import checksum

from .pipelines import stable_diffusion


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return wrap(stable_diffusion())


@pytest.fixture(scope="module")
def state(model):
    """After three of six steps: history, counters and random states are all there."""
    return model.advance(model.begin([1, 2], 6, scheduler="unipc"), model.encode(["apple", "lemon"]), 3)


@pytest.fixture(scope="module")
def noisy(model):
    return model.advance(model.begin([1], 6, scheduler="euler-ancestral"), model.encode(["apple"]), 3)


def same(a, b):
    assert a.to_bytes() == b.to_bytes()


def test_there_and_back(state, noisy, tmp_path):
    for one in (state, noisy):
        found = ChainState.from_bytes(one.to_bytes())
        assert torch.equal(found.latents, one.latents)
        assert torch.equal(found.memory.timesteps, one.memory.timesteps)
        assert found.config == one.config
        assert found.memory.counters == one.memory.counters
        assert found.memory.history.keys() == one.memory.history.keys()
        same(found, one)
    same(ChainState.load(state.save(tmp_path / "chain.safetensors")), state)
    assert [file.name for file in tmp_path.iterdir()] == ["chain.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_dtypes(state, dtype):
    history = {name: t.to(dtype) if t.ndim else t for name, t in state.memory.history.items()}
    half = dataclasses.replace(
        state, latents=state.latents.to(dtype), memory=dataclasses.replace(state.memory, history=history)
    )
    same(ChainState.from_bytes(half.to_bytes()), half)


@pytest.mark.parametrize(("codec", "bits", "close"), [("fp16", 16, 1e-3), ("uint8", 8, 0.02), ("int4", 4, 0.2)])
def test_fewer_bits(model, state, codec, bits, close):
    """Close, in the shape and type it had, history too; and the chain goes on."""
    data = state.to_bytes(codec)
    found = ChainState.from_bytes(data)
    numbers = state.latents.numel() + sum(t.numel() for t in state.memory.history.values() if t.ndim)
    assert len(state.to_bytes()) - len(data) == pytest.approx(numbers * (32 - bits) / 8, abs=1000)  # ranges and names
    pairs = [(found.latents, state.latents)]
    pairs += [(found.memory.history[n], t) for n, t in state.memory.history.items() if t.ndim]
    for there, here in pairs:
        assert there.shape == here.shape
        assert 0 < (there - here).std() < close * here.std()
    assert torch.equal(found.memory.timesteps, state.memory.timesteps)
    ended = model.advance(found, model.encode(["apple", "lemon"]))
    assert ended.latents.isfinite().all()


def test_no_code_in_it(state):
    """A reader of the format that knows nothing of ours sees tensors and JSON."""
    tensors = safetensors.torch.load(state.to_bytes())
    assert torch.equal(tensors["latents"], state.latents)
    length = int.from_bytes(state.to_bytes()[:8], "little")
    said = json.loads(json.loads(state.to_bytes()[8 : 8 + length])["__metadata__"]["netdiffuse.chain-state"])
    assert json.loads(said["header"])["scheduler"] == "UniPCMultistepScheduler"


def test_select_and_stack(state):
    one, two = state.select([0]), state.select([1])
    assert one.batch == 1
    same(stack([one, two]), state)
    assert torch.equal(state.select([1, 0]).latents, state.latents[[1, 0]])
    with pytest.raises(ChainStateError, match="rows must be in"):
        state.select([2])
    with pytest.raises(ChainStateError, match="no chain states"):
        stack([])


def begun(model, scheduler):
    return model.advance(model.begin([1], 6, scheduler=scheduler), model.encode(["apple"]), 2)


def test_what_a_scheduler_cannot_do_without(model):
    """Without its random states a chain would draw from torch's own generator; without sigmas it would go elsewhere."""
    for scheduler, change, said in (
        ("euler-ancestral", {"random": ()}, "needs 1 random states, got 0"),
        ("euler", {"memory": {"sigmas": None}}, "needs its sigmas"),
        ("ddim", {"memory": {"timesteps": torch.tensor([5000, 4, 3, 2, 1, 0])}}, r"timesteps must be in \[0, 999\]"),
        ("ddim", {"config": {"prediction_type": "nonsense"}}, "prediction_type must be one of"),
        ("ddim", {"config": {"num_train_timesteps": 10**9}}, "num_train_timesteps must be in"),
    ):
        state = begun(model, scheduler)
        changed = {
            "random": change.get("random", state.random),
            "memory": dataclasses.replace(state.memory, **change.get("memory", {})),
            "config": state.config | change.get("config", {}),
        }
        with pytest.raises(ChainStateError, match=said):
            dataclasses.replace(state, **changed).to_bytes()


def test_another_prediction_is_another_model(model):
    """Stable Diffusion 2's usual mix-up: the weights say nothing of it."""
    state = begun(model, "ddim")
    for name, value in (("prediction_type", "v_prediction"), ("rescale_betas_zero_snr", True)):
        other = dataclasses.replace(state, config=state.config | {name: value})
        if name in model.pipeline.scheduler.config:
            with pytest.raises(ChainStateError, match=name):
                model.check(other)


def test_large_tensors_have_a_fingerprint():
    """Beyond 2^24 numbers float32 cannot count: this is the size of a convolution in Stable Diffusion 1.5."""
    layer = torch.nn.Linear(1280 * 9, 2560, bias=False, dtype=torch.float16)
    before = fingerprint(layer)
    with torch.no_grad():
        layer.weight.view(-1)[-1] += 1
    assert fingerprint(layer) != before


def test_guidance_is_not_negative(model):
    with pytest.raises(InvalidValueError, match="guidance_scale"):
        model.begin([0], 3, guidance_scale=-1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"guidance_scale": 3.0}, "guidance_scale"), ({"revision": "other"}, "revision"), ({"height": 128}, "height")],
)
def test_unlike_chains_do_not_stack(state, change, said):
    with pytest.raises(ChainStateError, match=f"their {said}"):
        stack([state, dataclasses.replace(state, **change)])


def test_chains_at_different_steps_do_not_stack(model, state):
    earlier = model.advance(model.begin([1], 6, scheduler="unipc"), model.encode(["apple"]), 2)
    with pytest.raises(ChainStateError, match="their step"):
        stack([state, earlier])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latents": torch.full((2, 4, 8, 8), torch.nan)}, "must be finite"),
        ({"latents": torch.zeros(2, 4, 8, 8, dtype=torch.float64)}, "float32, float16"),
        ({"latents": torch.zeros(2, 4)}, "shape"),
        ({"step": 7}, "step must be a whole number in 0..6"),
        ({"step": 2}, "not consistent"),
        ({"step": True}, "step must be"),
        ({"scheduler": "HeunDiscreteScheduler"}, "the chain's scheduler is Heun"),
        ({"scheduler": "DDIMScheduler"}, "not consistent"),
        ({"family": ""}, "family must be a word"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be in"),
        ({"eta": 2.0}, "eta must be in"),
        ({"height": 0}, "height must be"),
        ({"random": (torch.zeros(3, dtype=torch.uint8),) * 2}, "random state cannot be used"),
        ({"random": (torch.Generator().get_state(),)}, "needs 0 random states, got 1"),
        ({"latents": torch.zeros(3, 4, 8, 8)}, "not consistent"),
    ],
)
def test_inconsistent_states_are_neither_written_nor_read(state, change, said):
    with pytest.raises(ChainStateError, match=said):
        dataclasses.replace(state, **change).to_bytes()


def test_missing_history(state):
    memory = dataclasses.replace(state.memory, history={})
    with pytest.raises(ChainStateError, match="after 3 steps UniPCMultistepScheduler remembers"):
        dataclasses.replace(state, memory=memory).to_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"family": "sdxl"}, "of a sdxl model, this one is stable-diffusion"),
        ({"revision": "0123456789abcdef"}, "revision 0123456789abcdef"),
        ({"height": 128}, "must have shape"),
        ({"height": 63}, "multiples of"),
    ],
)
def test_the_receiver_says_what_differs(model, state, change, said):
    with pytest.raises(ChainStateError, match=said):
        model.advance(dataclasses.replace(state, **change), model.encode(["apple"]))


def test_the_receiver_refuses_another_dtype(model, state):
    with pytest.raises(ChainStateError, match="float16, this model computes in torch"):
        model.check(dataclasses.replace(state, latents=state.latents.half()))


def test_the_receiver_refuses_another_noise_schedule(model, state):
    with pytest.raises(ChainStateError, match=r"beta_end 0\.02, this model was trained with 0\.012"):
        model.check(dataclasses.replace(state, config=state.config | {"beta_end": 0.02}))


def test_other_weights_are_another_revision(model):
    other = wrap(stable_diffusion())
    assert other.revision == model.revision
    with torch.no_grad():
        other.network.conv_in.bias[0] += 1e-3
    assert wrap(other.pipeline).revision != model.revision


def test_another_version(state):
    data = state.to_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].replace(b'\\"version\\": 1', b'\\"version\\": 2')
    with pytest.raises(ChainStateError, match="of version 2, this netdiffuse reads version 1"):
        ChainState.from_bytes(data[:8] + header + data[8 + length :])


def test_too_long(state):
    with pytest.raises(ChainStateError, match="more than the 1,000 allowed"):
        ChainState.from_bytes(state.to_bytes(), most_bytes=1000)


def test_unreadable_files(tmp_path):
    with pytest.raises(ChainStateError, match="cannot be read"):
        ChainState.load(tmp_path / "none")


FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(cut=st.floats(0, 1, exclude_max=True))
def test_cut_short(noisy, cut):
    data = noisy.to_bytes()
    with pytest.raises(ChainStateError):
        ChainState.from_bytes(data[: int(cut * len(data))])


@FUZZ
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte(noisy, place, flip):
    data = bytearray(noisy.to_bytes())
    data[int(place * len(data))] ^= flip
    with pytest.raises(ChainStateError):
        ChainState.from_bytes(bytes(data))


@FUZZ
@given(data=st.binary(max_size=200))
def test_noise(data):
    with pytest.raises(ChainStateError):
        ChainState.from_bytes(data)


HEADER = (
    "family", "revision", "step", "scheduler", "config", "inference_steps", "counters", "height", "width",
    "guidance_scale", "eta", "packed",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@FUZZ
@given(key=st.sampled_from(HEADER), value=JSON)
def test_a_forged_header(noisy, model, key, value):
    """A sender that signs whatever it likes: refused when it is read, or when the model looks at it."""
    data = noisy.to_bytes()
    tensors = safetensors.torch.load(data)
    length = int.from_bytes(data[:8], "little")
    said = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["netdiffuse.chain-state"])
    header = json.loads(said["header"])
    if header[key] == value:
        return
    said["header"] = json.dumps(header | {key: value})
    said["checksum"] = checksum(said["header"], tensors)
    forged = safetensors.torch.save(tensors, {"netdiffuse.chain-state": json.dumps(said)})
    most = {"guidance_scale": 1e3, "eta": 1.0}.get(key, -1.0)
    if type(value) in (int, float) and 0 <= value <= most:
        next(model.run(ChainState.from_bytes(forged), model.encode(["apple"])))  # another number there is as good
        return
    with pytest.raises((ChainStateError, InvalidValueError)):
        next(model.run(ChainState.from_bytes(forged), model.encode(["apple"])))
