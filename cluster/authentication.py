"""Who may talk to a cluster, and how: the token, and whether an address is safe enough for it.

Whoever reaches the Jobs API of a Ray head may run anything on the cluster. So nothing is submitted
without a token, nor over a connection that others can read, unless the user says `--insecure`. This
module loads no ray.
"""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from cluster.storage import UserError

AUTH_MODE_ENV_VAR = "RAY_AUTH_MODE"
TOKEN_ENV_VAR = "RAY_AUTH_TOKEN"
TOKEN_PATH_ENV_VAR = "RAY_AUTH_TOKEN_PATH"
TOKEN_REMEDY = (
    f"set {TOKEN_PATH_ENV_VAR} to a file that holds it (or {TOKEN_ENV_VAR}), or write it to"
    " ~/.ray/auth_token"
)


def is_jobs_url(address: str | None) -> bool:
    """Whether `address` is that of a Jobs API (http(s)://head:8265). Any other address is that of a
    cluster to attach to."""
    return address is not None and address.startswith(("http://", "https://"))


def find_token(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> str | None:
    """The token of Ray's token authentication. It is looked for where Ray looks: in
    `RAY_AUTH_TOKEN`, in the file that `RAY_AUTH_TOKEN_PATH` names, in `~/.ray/auth_token`. None
    where there is none. Raises UserError when a file that was named cannot be read."""
    if token := environ.get(TOKEN_ENV_VAR, "").strip():
        return token
    named = environ.get(TOKEN_PATH_ENV_VAR)
    path = Path(named) if named else (home or Path.home()) / ".ray" / "auth_token"
    try:
        return path.expanduser().read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError, RuntimeError) as error:  # no file, no text, or no such user
        if named:
            raise UserError(
                f"{TOKEN_PATH_ENV_VAR}={named}: cannot be read ({_reason(error)}); name the token's"
                " file"
            ) from None
        return None


def check_jobs_url(url: str, token: str | None, *, insecure: bool = False) -> None:
    """Raises UserError where no job may be sent to `url`. A loopback address is always allowed: as
    a rule it is a port forwarded from the head. Elsewhere the connection must be encrypted, and
    there must be a token."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(
            f"--address {url}: not an address ({error}); write for example http://127.0.0.1:8265"
        ) from None
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise UserError(f"--address {url}: not an address; write for example http://127.0.0.1:8265")
    if parts.username or parts.password:
        raise UserError(
            f"--address http(s)://...@{host}: no passwords in an address; {TOKEN_REMEDY}"
        )
    if insecure or _is_loopback(host):
        return
    if parts.scheme != "https":
        raise UserError(
            f"--address {url}: not encrypted, so anybody on the way could read the token and run"
            " code on the cluster; forward the port and use http://127.0.0.1:8265, or https://, or"
            " --insecure on a network that you trust"
        )
    if token is None:
        raise UserError(
            f"--address {url}: no token, and a cluster must not be open to anybody; {TOKEN_REMEDY}"
            " (--insecure: none)"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a host name, not an IP address
        return False


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
