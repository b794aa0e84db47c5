"""uv as the installer."""

import ssl
from pathlib import Path

import uv

from modelyard.environments.images.installer import Job
from modelyard.environments.images.locks import keep_wanted_hashes, parse_lock
from modelyard.environments.requirements import Option

_FILE_OPTIONS = frozenset(
    {"--index-url", "--extra-index-url", "--find-links", "--no-index", "--no-binary", "--only-binary"}
)

_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class UvInstaller:
    """Runs the ``uv`` that is installed beside Modelyard, whatever is on PATH."""

    name = "uv"

    def __init__(self) -> None:
        self._uv = Path(uv.find_uv_bin()).resolve()

    def create(self, job: Job) -> None:
        options = ["--relocatable", "--no-project", "--quiet"]
        self._run(job, "venv", *options, "--python", str(job.interpreter.executable), str(job.venv))

    def resolve(self, job: Job, preferred: str | None) -> str:
        options_text = _options_text(job.wanted.options)
        wanted_file = job.write_input(
            "requirements.in", options_text + "".join(f"{each.text()}\n" for each in job.wanted.wanted)
        )
        output = job.new_output(preferred)
        options = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-strip-extras"]
        options += ["--quiet", "--output-file", str(output), "--python", str(job.interpreter.executable)]
        self._run(job, "pip", "compile", *options, *_flags(job), str(wanted_file))
        return keep_wanted_hashes(job.read_output(output), job.wanted)

    def install(self, job: Job, lock: str) -> None:
        pins = parse_lock(lock)
        if not pins:
            return
        options = ["--no-deps", "--link-mode", job.link_mode, "--python", str(job.venv), "--no-compile-bytecode"]
        if all(pin.hashes for pin in pins):  # a git commit is its own hash
            options.append("--require-hashes")
        if text := _options_text(job.wanted.options):
            options += ["-r", str(job.write_input("options.in", text))]
        self._run(job, "pip", "install", *options, *_flags(job), "-r", str(job.write_input("lock.txt", lock)))

    def finish(self, venv: Path) -> None:
        """Nothing: uv writes scripts that can be moved."""

    def _run(self, job: Job, *arguments: str) -> None:
        environment = job.environment() | {
            "UV_CACHE_DIR": str(job.cache_dir),
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_SYSTEM_CERTS": str(_has_system_certificates()).lower(),
        }
        own_index = job.wanted.has_option("--index-url", "--no-index")
        if job.index_url and not own_index:
            environment["UV_DEFAULT_INDEX"] = job.index_url
        job.run([str(self._uv), *arguments], environment, tools=[self._uv])


def _has_system_certificates() -> bool:
    """Whether this machine has authorities of its own, such as that of a proxy; uv brings some for one without."""
    paths = ssl.get_default_verify_paths()
    return any(path is not None and Path(path).is_file() for path in (paths.cafile, *_BUNDLES))


def _options_text(options: tuple[Option, ...]) -> str:
    """The lines that uv reads from a file. URLs go there, not into the arguments: they can hold passwords."""
    return "".join(f"{option.name} {option.value}".strip() + "\n" for option in options if option.name in _FILE_OPTIONS)


def _flags(job: Job) -> list[str]:
    flags = ["--only-binary", ":all:"] if job.wheels_only else []
    if job.wanted.has_option("--pre"):
        flags += ["--prerelease", "allow"]
    if job.wanted.has_option("--extra-index-url"):  # as pip does: all indexes are one
        flags += ["--index-strategy", "unsafe-best-match"]
    for option in job.wanted.options:
        if option.name == "--trusted-host":
            flags += ["--allow-insecure-host", option.value]
    return flags
