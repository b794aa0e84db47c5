"""A package index behind a proxy with an authority of its own."""

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelyard.environments.images.errors import BuildError
from modelyard.environments.images.runner_files import RunnerFiles
from modelyard.environments.images.store import ImageStore
from modelyard.kernel.clock import SystemClock
from tests.images.conftest import a_spec, never
from tests.images.packages import serving

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Path]:
    """The file of an authority that nobody knows, and one with a certificate of it for 127.0.0.1 and its key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    blank = x509.CertificateBuilder().not_valid_before(NOW - DAY).not_valid_after(NOW + DAY).issuer_name(name_of("ca"))
    root = (
        blank.subject_name(name_of("ca"))
        .public_key(keys[0].public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(keys[0], hashes.SHA256())
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = (
        blank.subject_name(name_of("index"))
        .public_key(keys[1].public_key())
        .serial_number(2)
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(keys[0], hashes.SHA256())
    )
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ca.pem").write_bytes(pem(root))
    (tmp_path / "index.pem").write_bytes(pem(leaf) + key)
    return tmp_path / "ca.pem", tmp_path / "index.pem"


def test_certificates_are_those_that_the_system_knows(
    tmp_path: Path, authority: tuple[Path, Path], bare_runner: RunnerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with serving(tmp_path / "index", authority[1]) as index:
        index.add_wheel("first")
        store = ImageStore(
            tmp_path / "images",
            cache_dir=tmp_path / "cache",
            clock=SystemClock(),
            index_url=index.url,
            runner=bare_runner,
        )
        with pytest.raises(BuildError, match=r"an authority that this machine does not know.* SSL_CERT_FILE"):
            store.build(a_spec("first"), tmp_path / "log", never)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
        image = store.build(a_spec("first"), tmp_path / "log", never)
    assert list(image.glob("lib/python*/site-packages/first.py"))
