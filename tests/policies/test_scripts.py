"""What policies read out of shell scripts."""

from __future__ import annotations

import shlex

import pytest

from policies.rules.downloads import unchecked_downloads
from policies.rules.scripts import prints_a_secret

SUM = "0123456789abcdef" * 4
FETCH = """\
fetch() {
  local url=$1 sha256=$2 dest=$3
  if ! curl --fail \\
    --output "$dest" -- "$url"; then
    exit 1
  fi
  if ! printf '%s  %s\\n' "$sha256" "$dest" | sha256sum -c --status -; then
    exit 1
  fi
}
"""


@pytest.mark.parametrize(
    "script",
    [
        "curl -fsSLo /tmp/k3s https://example.com/k3s",
        "  if ! curl -o x https://example.com/k3s; then exit 1; fi",
        "K=v curl -o x https://example.com/k3s",
        "sudo -n wget https://example.com/k3s",
        "/usr/bin/curl -O https://example.com/k3s",
        "x=$(curl -s https://example.com/script)",
        "curl -sfL https://get.k3s.io | sh -",
        "curl -sfL https://get.k3s.io | sudo -n bash",
        "curl -s http://127.0.0.1/x | bash",
        'eval "$(curl -s https://example.com/x)"',
        "source <(wget -qO- https://example.com/x)",
        "curl -s https://example.com/x \\\n  | python3 -",
        "curl -o x https://example.com/a; curl -o /dev/null http://127.0.0.1/ || true",
        f"curl -o a https://example.com/a\n{FETCH}",
        "curl -o a https://example.com/a\n" + "true\n" * 20 + f"echo '{SUM}  a' | sha256sum -c",
        "curl -o a https://example.com/a\nsha256sum a",
        f"bash -c {shlex.quote('curl -o x https://example.com/k3s')}",
        # Other names and places of the same programs.
        "busybox wget -O x https://example.com/x",
        "timeout 30 curl -o x https://example.com/x",
        "command curl -o x https://example.com/x",
        "\\curl -o x https://example.com/x",
        "nice -n 5 /opt/bin/curl -o x https://example.com/x",
        "curl -o x example.com/downloads/x",
        "curl\\\n  -o x https://example.com/x",
        "curl\t-o x https://example.com/x",
        "git\\\n clone https://example.com/x.git",
        # Other programs.
        'python3 -c \'import urllib.request; urllib.request.urlretrieve("https://example.com/x", "x")\'',
        "python3 - <<'EOF'\nfrom urllib.request import urlopen\nopen('x', 'wb').write(urlopen(u).read())\nEOF",
        "python3 -c 'import requests; print(requests.get(u).text)' >x",
        "perl -MLWP::Simple -e 'getstore($u, \"x\")'",
        "ruby -ropen-uri -e 'print URI.open(ENV[\"U\"]).read' >x",
        "php -r 'echo file_get_contents(\"https://example.com/x\");' >x",
        "exec 3<>/dev/tcp/example.com/80; cat <&3 >x",
        "nc example.com 9000 >x",
        "scp user@example.com:/srv/k3s /usr/local/bin/k3s",
        "rsync -a example.com::files/k3s /usr/local/bin/",
        "sftp user@example.com:k3s",
        "aws s3 cp s3://bucket/k3s /usr/local/bin/k3s",
        "gsutil cp gs://bucket/k3s .",
        "az storage blob download --account-name a -c c -n k3s -f k3s",
        "oras pull registry.example.com/k3s:v1",
        "git clone https://example.com/x.git",
        "git -C x pull",
        "git clone -b v1.2.3 https://example.com/x.git && make -C x install",
        "pip install edge-agent",
        "python3 -m pip install edge-agent==1.2.3",
        "npm install -g thing",
        "go install example.com/x@latest",
        "rpm -i https://example.com/x.rpm",
        "dnf install -y --nogpgcheck x",
        "apt-get install --allow-unauthenticated x",
        "echo 'deb [trusted=yes] https://example.com/ ./' >/etc/apt/sources.list.d/x.list",
        # A check that checks nothing, or something else.
        f"curl -o a https://example.com/a\necho '{SUM}  b' | sha256sum -c -",
        "curl -o a https://example.com/a\nsha256sum -c sums",
        "curl -o a https://example.com/a\ncurl -o a.sum https://example.com/a.sum\nsha256sum -c a.sum",
        f"curl -o a https://example.com/a\necho '{SUM}  a' | sha256sum -c - || true",
        "curl -o a https://example.com/a\nsha256sum a | sha256sum -c -",
        f"curl -o a https://example.com/a\ncurl -o b https://example.com/b\necho '{SUM}  b' | sha256sum -c",
        f"curl https://example.com/a | tee x\necho '{SUM}  y' | sha256sum -c",
    ],
)
def test_a_download_without_a_check_is_found(script: str) -> None:
    assert unchecked_downloads(script)


@pytest.mark.parametrize(
    "script",
    [
        FETCH,
        f"exec sudo -n bash -c {shlex.quote(FETCH + 'fetch u s d')}",
        f"curl -o a https://example.com/a\necho '{SUM}  a' | sha256sum -c -",
        f"curl -o a https://example.com/a && echo '{SUM}  a' | sha256sum --check",
        f"curl -o a https://example.com/a\n[ \"$(sha256sum a | cut -d' ' -f1)\" = {SUM} ]",
        f"curl -o /opt/a https://example.com/a\n(cd /opt && echo '{SUM}  a' | sha256sum -c)",
        f"curl -O https://example.com/v1/a\nsha256sum -c <<EOF\n{SUM}  a\nEOF",
        f'curl -o "${{dest}}" https://example.com/a\necho "{SUM}  $dest" | sha256sum -c',
        f"scp user@example.com:/srv/k3s /opt/k3s\necho '{SUM}  /opt/k3s' | sha256sum -c",
        f"git clone https://example.com/x.git\ngit -C x checkout --detach {SUM[:40]}",
        'git fetch origin "$ref"\ngit verify-commit "$ref"',
        "pip install --require-hashes -r requirements.txt",
        "apt-get install -y nvidia-driver",
        "python3 -c 'import urllib.parse; print(urllib.parse.quote(x))'",
        "python3 -c 'from urllib.request import urlopen; urlopen(\"http://127.0.0.1:8000/v2/health\")'",
        "gitops=on; say 'go on'; pipeline=1",
        "# curl https://get.k3s.io | sh\ntrue",
        "command -v curl >/dev/null || exit 1",
        'say "curl is not installed"',
        "curl --silent --output /dev/null --max-time 5 http://10.0.0.1:10248/healthz",
        "curl --fail https://127.0.0.1:6443/readyz",
        "curl -s --unix-socket /run/x.sock http://x/info",
        "until curl -fsS http://localhost:8000/v2/health/ready; do sleep 1; done",
        'printf "$url" |\n  curl --config - --fail --proto =https --max-time 120 \\\n  | head --bytes=9',
    ],
)
def test_a_checked_download_or_none_is_left_alone(script: str) -> None:
    assert unchecked_downloads(script) == ()


def test_the_line_of_the_download_is_named() -> None:
    (found,) = unchecked_downloads("set -e\n\ncurl -O https://example.com/k3s\n")
    assert found.line == 3


@pytest.mark.parametrize(
    "script",
    [
        "cat /etc/rancher/k3s/k3s.yaml",
        "sed 's|127.0.0.1|edge|' /etc/rancher/k3s/k3s.yaml",
        f"exec sudo -n bash -c {shlex.quote('sed s/a/b/ /etc/rancher/k3s/k3s.yaml')}",
        "cat /var/lib/rancher/k3s/server/node-token",
        "base64 -w0 < /dev/null; cat /var/lib/rancher/k3s/server/token",
        "k3s kubectl config view --raw",
        "k3s token create --ttl 1h",
        "cat ~/.ssh/id_ed25519",
        "wg genkey",
        "openssl genpkey -algorithm ed25519",
    ],
)
def test_a_script_that_prints_a_secret_is_recognised(script: str) -> None:
    assert prints_a_secret(script)


@pytest.mark.parametrize(
    "script",
    [
        "token=$(cat /var/lib/rancher/k3s/server/token)",
        "cat /var/lib/rancher/k3s/server/token >/run/copy",
        "grep -q server /etc/rancher/k3s/k3s.yaml",
        "sed -i 's/a/b/' /etc/rancher/k3s/k3s.yaml",
        "chmod 600 /etc/rancher/k3s/k3s.yaml",
        "cat ~/.ssh/id_ed25519.pub",
        "# cat /etc/rancher/k3s/k3s.yaml",
        "k3s kubectl config view",
        "say ready",
    ],
)
def test_a_script_that_prints_no_secret_is_left_alone(script: str) -> None:
    assert not prints_a_secret(script)


_SECRET_ADDRESS = 'printf \'url = "%s"\\n\' "$url" | curl --config - --fail --proto =https'


def test_an_answer_from_a_secret_address_over_https_may_be_kept_in_memory() -> None:
    assert unchecked_downloads(f"manifest=$(download)\n{_SECRET_ADDRESS} --max-time 9 \\\n  | head --bytes=9\n") == ()


@pytest.mark.parametrize(
    "rest",
    [
        "--proto =https | bash",
        "| bash",
        "| \\\n  sudo -n sh",
        "|\n  bash",
        "| head --bytes=9 | bash",
        "| tee /tmp/x",
        "> /tmp/x",
        "--output /tmp/x",
        "-o /tmp/x",
        "--insecure",
        "-k",
    ],
)
def test_an_answer_from_a_secret_address_goes_into_no_file_and_to_no_shell(rest: str) -> None:
    assert unchecked_downloads(f"{_SECRET_ADDRESS} {rest}\n")


@pytest.mark.parametrize("missing", [" --proto =https", " --config -"])
def test_an_answer_is_excused_only_from_a_secret_address_over_https(missing: str) -> None:
    assert unchecked_downloads(_SECRET_ADDRESS.replace(missing, "") + " https://example.com/x\n")
