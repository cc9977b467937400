import doctest
from ipaddress import ip_address

import pytest

from api.webhooks import public_addresses
from api.webhooks.public_addresses import is_public

PUBLIC = ["1.1.1.1", "9.9.9.9", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::101:101"]
NOT_PUBLIC = [
    *["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255"],
    *["169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.1.1"],
    *["198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"],
    *["255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:9.9.9.9", "::ffff:0:9.9.9.9"],
    *["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:20::1"],
    *["2001:db8::1", "2002:7f00:1::", "2002:909:909::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254"],
    *["fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1", "ff0e::1"],
]


@pytest.mark.parametrize("address", PUBLIC)
def test_is_public(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_is_public__not(address):
    assert not is_public(ip_address(address))


def test_is_public__examples():
    assert doctest.testmod(public_addresses).failed == 0
