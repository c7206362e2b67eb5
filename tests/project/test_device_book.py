from __future__ import annotations

from pathlib import Path

import pytest

from workbench.domain.errors import DeviceError
from workbench.domain.remote_device import RemoteDevice
from workbench.project.device_book import DeviceBook, device_from


@pytest.fixture
def book(tmp_path: Path) -> DeviceBook:
    return DeviceBook(tmp_path / "settings" / "devices.yaml")


def test_devices_are_kept_by_name(book):
    assert list(book) == []
    pi = RemoteDevice(name="pi", host="pi.local", port=2222, user="me", key="/k", host_key="first")
    box = RemoteDevice(name="box", host="10.0.0.7")
    book.put(pi)
    book.put(box)
    assert list(DeviceBook(book.file)) == [box, pi]
    book.put(box.model_copy(update={"port": 22}))
    assert book.get("box").port == 22
    assert book.remove("pi") == pi
    assert [device.name for device in book] == ["box"]


def test_unknown_device_names_the_known_ones(book):
    book.put(RemoteDevice(name="pi", host="pi.local"))
    with pytest.raises(DeviceError, match=r"no device 'pie'.*one of 'local', 'pi'"):
        book.get("pie")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("devices: [{name: pi}]", "host: the key is missing"),
        ("devices: [{name: pi, host: pi, password: secret}]", "there is no such key"),
        ("devices: 3", "devices"),
        ("[", "not valid YAML"),
    ],
)
def test_file_that_is_not_right_is_told(book, text, said):
    book.file.parent.mkdir()
    book.file.write_text(text)
    with pytest.raises(DeviceError, match=said):
        list(book)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "pi", "host": "-oProxyCommand=x"}, "a host name or address"),
        ({"name": "p i", "host": "pi"}, "letters, digits"),
        ({"name": "local", "host": "pi"}, "this computer"),
        ({"name": "pi", "host": "pi", "user": "-l"}, "account"),
        ({"name": "pi", "host": "pi", "port": 0}, "port"),
        ({"name": "pi", "host": "pi", "python": "-c"}, "a path there"),
        ({"name": "pi", "host": ""}, "missing"),
    ],
)
def test_fields_that_ssh_would_take_for_options_are_refused(fields, said):
    with pytest.raises(DeviceError, match=said):
        device_from(fields, "device")


def test_home_of_a_key_is_this_one():
    assert device_from({"name": "pi", "host": "pi", "key": "~/.ssh/id"}, "device").key == str(Path.home() / ".ssh/id")
    assert device_from({"name": "pi", "host": "pi", "key": "", "port": None}, "device").key == ""
