"""Members from disk: what is read, compared, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from moframework.errors import DataError, SpecError
from moframework.merging.members import check_common_start, mean_state, read_members
from tests.extras import needs_peft
from tests.merging.two_heads import TASKS, TwoHeads, disturbed, write


@pytest.fixture
def network() -> TwoHeads:
    torch.manual_seed(0)
    return TwoHeads()


def test_files_of_two_tasks_and_their_base(network: TwoHeads, tmp_path: Path) -> None:
    start = network.state_dict()
    states = [disturbed(start, 1), disturbed(start, 2)]
    paths = {task: write(tmp_path, task, state) for task, state in zip(TASKS, states, strict=True)}
    members = read_members(paths, write(tmp_path, "base", start), TASKS, network)
    assert all(torch.equal(members.states[1][name], value) for name, value in states[1].items())
    assert torch.equal(members.start()["shared.weight"], start["shared.weight"])
    alone = read_members(paths, None, TASKS, network)
    assert torch.equal(alone.start()["b.bias"], mean_state(states)["b.bias"])
    assert alone.start()["norm.num_batches_tracked"].dtype == torch.int64
    check_common_start(members, TASKS, network, "refuse")
    assert "smallest cosine 0.8" in members.notes[0]


def test_all_that_does_not_fit_is_listed_for_every_member(network: TwoHeads, tmp_path: Path) -> None:
    start = dict(network.state_dict())
    lacking = {name: value for name, value in start.items() if name != "b.weight"} | {"c.weight": torch.ones(1)}
    other = start | {"shared.weight": torch.zeros(6, 5)}
    paths = {"left": write(tmp_path, "left", lacking), "right": write(tmp_path, "right", other)}
    with pytest.raises(DataError) as error:
        read_members(paths, None, TASKS, network)
    text = str(error.value)
    assert "solver.members.left: " in text
    assert "b.weight is missing" in text
    assert "c.weight is not in the network" in text
    assert "solver.members.right: " in text
    assert "shared.weight has shape (6, 5), the network's is (6, 4)" in text


def test_names_of_tasks_are_checked_first(network: TwoHeads, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"'lefft' is no task; did you mean 'left'\?\n.*no member for left, right"):
        read_members({"lefft": tmp_path}, None, TASKS, network)


@pytest.mark.parametrize(
    ("name", "said"),
    [("there.pt", "is no .safetensors file"), ("gone.safetensors", "does not exist"), ("bad.safetensors", "is not a")],
)
def test_other_files_are_refused(network: TwoHeads, tmp_path: Path, name: str, said: str) -> None:
    good = write(tmp_path, "good", network.state_dict())
    if name != "gone.safetensors":
        (tmp_path / name).write_bytes(b"no tensors")
    with pytest.raises(DataError, match=f"solver.members.right: .*{said}"):
        read_members({"left": good, "right": tmp_path / name}, None, TASKS, network)


def test_independent_networks_are_refused_or_told(network: TwoHeads, tmp_path: Path) -> None:
    paths = {"left": write(tmp_path, "left", network.state_dict())}
    paths["right"] = write(tmp_path, "right", TwoHeads().state_dict())
    members = read_members(paths, None, TASKS, network)
    with pytest.raises(SpecError, match=r"solver.members: .*'left' and 'right' have a cosine of -?0.*solver.far: warn"):
        check_common_start(members, TASKS, network, "refuse")
    check_common_start(members, TASKS, network, "warn")
    assert "do not come from one start" in members.notes[0]
    based = read_members(paths, paths["left"], TASKS, network)
    with pytest.raises(SpecError, match="member 'right' and the base"):
        check_common_start(based, TASKS, network, "refuse")


@needs_peft
@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_of_peft_is_merged_as_peft_does(network: TwoHeads, tmp_path: Path, rslora: bool) -> None:
    from peft import LoraConfig, get_peft_model

    start = {name: value.clone() for name, value in network.state_dict().items()}
    options = LoraConfig(
        r=2, lora_alpha=6, target_modules=["shared", "b"], modules_to_save=["a"], use_rslora=rslora,
        init_lora_weights=False, bias="all", rank_pattern={"b": 1}, alpha_pattern={"shared": 3},
    )  # fmt: skip
    adapted = get_peft_model(network, options)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "bias" in name or "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter))
    adapted.save_pretrained(str(tmp_path / "adapter"))
    base = write(tmp_path, "base", start)
    paths = {"left": tmp_path / "adapter", "right": base}
    members = read_members(paths, base, TASKS, TwoHeads())
    wanted = adapted.merge_and_unload().state_dict()
    for name in ("shared.weight", "b.weight", "shared.bias", "b.bias", "norm.bias", "a.0.weight", "a.1.weight"):
        torch.testing.assert_close(members.states[0][name], wanted[name], rtol=1e-6, atol=1e-6)
        assert not torch.equal(members.states[0][name], start[name])
    with pytest.raises(DataError, match=r"solver.members.left: .* name solver.base"):
        read_members(paths, None, TASKS, TwoHeads())


def test_other_kinds_of_adapters_are_refused(network: TwoHeads, tmp_path: Path) -> None:
    base = write(tmp_path, "base", network.state_dict())
    write(tmp_path, "adapter_model", {"base_model.model.b.lora_A.weight": torch.zeros(1, 6)})
    for options, said in (({"peft_type": "LOHA"}, "kind LOHA"), ({"peft_type": "LORA", "use_dora": True}, "use_dora")):
        (tmp_path / "adapter_config.json").write_text(json.dumps(options))
        with pytest.raises(DataError, match=rf"solver\.members\.left: .*{said}"):
            read_members({"left": tmp_path, "right": base}, base, TASKS, network)


def test_tied_parameters_need_one_name(tmp_path: Path) -> None:
    class Tied(TwoHeads):
        def __init__(self) -> None:
            super().__init__()
            self.again = self.b

    start = Tied().state_dict()
    one = {name: value for name, value in start.items() if not name.startswith("b.")}
    path = write(tmp_path, "one", one)
    members = read_members({"left": path, "right": path}, None, TASKS, Tied())
    assert torch.equal(members.states[0]["b.weight"], start["b.weight"])
