"""The model library: offered, added and self-placed models, and what may be done with each."""

import json
import shutil

import pytest

from core.catalog import Catalogue, CatalogueEntry
from core.catalog.manifest import sha256_of, write_manifest
from core.errors import UsageError
from core.paths import Home
from core.services.models import ModelsService
from core.supervisor import Supervisor
from tests.tiny_models import build_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "Tiny Llama"
    build_tiny(folder, "llama")
    return folder


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def library(home):
    return ModelsService(home, Supervisor(home))


def ids(library):
    return [m.id for m in library.list()]


def test_the_catalogue_comes_first_and_unfetched_models_have_no_path(library):
    first, second = library.list()[:2]
    assert first.source == "bundled"
    assert second.source == "catalogue"
    assert second.path is None


def test_adding_a_model_copies_nothing_and_is_remembered(library, home, tiny):
    added = library.add(tiny)
    again = ModelsService(home, Supervisor(home)).resolve(added.id)
    assert added.id == "tiny-llama"
    assert again.path == tiny
    assert again.source == "user"
    assert [p.name for p in home.models.iterdir()] == ["registry.json"]


def test_adding_the_same_folder_or_name_twice_is_refused(library, tiny, tmp_path):
    library.add(tiny, name="mine")
    with pytest.raises(UsageError) as same_folder:
        library.add(tiny, name="other")
    copy = shutil.copytree(tiny, tmp_path / "copy")
    with pytest.raises(UsageError) as same_name:
        library.add(copy, name="Mine")
    assert same_folder.value.code == same_name.value.code == "model.already_exists"


def test_a_broken_model_is_not_added(library, tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError) as e:
        library.add(copy)
    assert e.value.code == "model.weights_damaged"
    assert ids(library) == [m.id for m in Catalogue.load().models]


def test_an_added_model_whose_folder_vanished_is_listed_with_the_reason(library, tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "usb-disk")
    library.add(copy)
    shutil.rmtree(copy)
    (listed,) = [m for m in library.list() if m.id == "usb-disk"]
    assert listed.problem.code == "model.not_found"
    with pytest.raises(UsageError):
        library.resolve("usb-disk")


def test_forgetting_a_model_leaves_its_files(library, tiny):
    library.add(tiny)
    library.forget("tiny-llama")
    assert "tiny-llama" not in ids(library)
    assert (tiny / "config.json").is_file()
    with pytest.raises(UsageError):
        library.forget("tiny-llama")


def test_a_folder_put_into_the_library_by_hand_is_found(library, home, tiny):
    shutil.copytree(tiny, home.models / "by-hand")
    assert library.resolve("by-hand").path == home.models / "by-hand"


def test_a_staging_folder_is_not_a_model(library, home, tiny):
    shutil.copytree(tiny, home.models / ".by-hand.1.staging")
    assert ids(library) == [m.id for m in Catalogue.load().models]


def test_a_listed_model_that_is_broken_later_is_noticed(library, home, tiny):
    folder = shutil.copytree(tiny, home.models / "by-hand")
    assert library.resolve("by-hand").problem is None
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError) as e:
        library.resolve("by-hand")
    assert e.value.code == "model.weights_damaged"


def test_a_path_that_belongs_to_the_library_keeps_its_name(library, tiny):
    library.add(tiny, name="mine")
    assert library.resolve(str(tiny)).id == "mine"


@pytest.mark.parametrize("wanted", ["no-such-model", "./no/such/folder"])
def test_what_is_neither_id_nor_path_is_not_found(library, wanted):
    with pytest.raises(UsageError) as e:
        library.resolve(wanted)
    assert e.value.code == "model.not_found"


def test_a_bundled_model_cannot_be_fetched_nor_an_unknown_one(library, home):
    with pytest.raises(UsageError) as bundled:
        library.fetch("deepdeck-starter")
    with pytest.raises(UsageError) as unknown:
        library.fetch("no-such-model")
    assert bundled.value.code == "model.already_exists"
    assert unknown.value.code == "model.not_found"
    assert not home.runs.exists()


def test_verify_reads_every_byte_that_has_a_digest(home, tiny):
    catalogue = Catalogue(models=(CatalogueEntry(id="offered", name="Offered"),))
    library = ModelsService(home, Supervisor(home), catalogue)
    folder = shutil.copytree(tiny, home.models / "offered")
    weights = folder / "model.safetensors"
    write_manifest(folder, {"id": "offered"}, {weights.name: sha256_of(weights)})
    assert library.verify("offered") == []
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1  # the header still fits
    weights.write_bytes(raw)
    assert [p.code for p in library.verify("offered")] == ["model.weights_damaged"]


def test_a_registry_that_others_wrote_into_does_not_break_the_list(library, home):
    home.models.mkdir(parents=True)
    (home.models / "registry.json").write_text(json.dumps({"models": [1, {"id": "x"}]}))
    assert ids(library) == [m.id for m in Catalogue.load().models]
