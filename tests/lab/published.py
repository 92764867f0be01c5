"""Repositories on a host of a lab, and the real programs that take updates from there: Debian's packages of them."""

from __future__ import annotations

from dataclasses import dataclass

from lab.hosts.host import LabHost

_DEB = r"""
set -euo pipefail
mkdir -p /srv/deb/$1/DEBIAN && cd /srv/deb
printf '%s\n' 'Package: lab-kernel' "Version: $1" 'Architecture: all' 'Maintainer: lab' 'Description: has no files' \
  >$1/DEBIAN/control
# As a kernel of Debian does.
printf '#!/bin/sh\nexec run-parts --arg=6.1.%s /etc/kernel/postinst.d\n' "$1" >$1/DEBIAN/postinst
chmod 0755 $1/DEBIAN/postinst
dpkg-deb --build $1 lab-kernel_$1_all.deb >/dev/null
for deb in *.deb; do
  dpkg-deb --field $deb
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $deb "$(stat -c %s $deb)" "$(sha256sum $deb | cut -d ' ' -f 1)"
done >Packages
printf '%s\n' 'Origin: Debian' 'Label: Debian-Security' 'Suite: stable-security' 'Codename: bookworm-security' \
  "Date: $(date -R -u)" SHA256: " $(sha256sum Packages | cut -d ' ' -f 1) $(stat -c %s Packages) Packages" >Release
"""
_APT = r"""
set -euo pipefail
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d
echo 'deb [trusted=yes] file:/srv/deb ./' >/etc/apt/sources.list
apt-get -qq update
apt-get -qq install lab-kernel >/dev/null
"""
_RPM = r"""
set -euo pipefail
mkdir -p /etc/rpm /srv/rpm && cd /srv/rpm
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros # Debian's is root's own
printf '%s\n' 'Name: kernel' "Version: $1" 'Release: 1' 'BuildArch: noarch' 'Summary: has no files' \
  'License: none' 'Provides: installhint(reboot-needed)' '%description' 'None.' '%files' >kernel.spec
rpmbuild --quiet -bb --define "_topdir /srv/build" --define "_rpmdir /srv/rpm" kernel.spec
cat >updateinfo.xml <<XML
<updates><update from="lab" status="stable" type="security" version="1">
<id>LAB-$1</id><title>kernel</title><release>lab</release><issued date="2026-01-01"/><severity>important</severity>
<description>none</description><references/><pkglist><collection short="lab"><name>lab</name>
<package name="kernel" version="$1" release="1" epoch="0" arch="noarch" src="none">
<filename>noarch/kernel-$1-1.noarch.rpm</filename><reboot_suggested>True</reboot_suggested></package>
</collection></pkglist></update></updates>
XML
createrepo_c --quiet . && modifyrepo_c updateinfo.xml repodata >/dev/null
"""
_DNF = r"""
set -euo pipefail
mkdir -p /etc/yum.repos.d /etc/dnf/vars
echo 9 >/etc/dnf/vars/releasever
sed -i 's/^enabled.*/enabled = false/' /etc/dnf/plugins/local.conf # keeps copies, on Debian only
printf '%s\n' '[lab]' name=lab baseurl=file:///srv/rpm gpgcheck=0 >/etc/yum.repos.d/lab.repo
# As the package of RHEL has them. Debian has the module alone.
printf '%s\n' '[commands]' 'upgrade_type = default' 'random_sleep = 0' 'download_updates = yes' 'apply_updates = no' \
  'reboot = never' '[emitters]' 'emit_via = stdio' >/etc/dnf/automatic.conf
printf '%s\n' '#!/usr/bin/python3' 'import sys, dnf.automatic.main' 'sys.exit(dnf.automatic.main.main(sys.argv[1:]))' \
  >/usr/bin/dnf-automatic
chmod 0755 /usr/bin/dnf-automatic
dnf --quiet --assumeyes install kernel
"""
_ZYPPER = r"""
set -euo pipefail
zypper --quiet --non-interactive addrepo --no-gpgcheck --refresh file:///srv/rpm lab
zypper --quiet --non-interactive install kernel
"""


@dataclass(frozen=True)
class Programs:
    """What a distribution installs updates with."""

    distribution: str
    publish: str
    """Script that puts one more release of a kernel into the repository of the host; its argument is the number."""

    subscribe: str
    """Script that makes the host take updates from there, with the first release installed."""

    remove: str
    """Command that removes what is installed from there."""

    asked: str
    """Command that prints the release that is installed."""

    def put_on(self, host: LabHost) -> None:
        """The host takes updates from a repository of its own, and has the first release installed."""
        self.published(host, 1)
        host.run("bash -s", stdin=self.subscribe)

    def take_off(self, host: LabHost) -> None:
        """What is installed from there is not any more, and the repository is gone."""
        host.run(f"{self.remove} && rm -r /srv/*")

    def published(self, host: LabHost, release: int) -> None:
        """There is one more release, not installed yet."""
        host.run(f"bash -s {release}", stdin=self.publish)

    def installed(self, host: LabHost) -> str:
        """The newest release that is installed."""
        return host.run(self.asked).stdout.strip()


_APT_GONE = (
    "dpkg --purge lab-kernel && rm -rf /var/lib/apt/lists/* /var/lib/apt/periodic/* /var/lib/apt/extended_states"
)
DEBIAN = Programs("debian", _DEB, _APT, _APT_GONE, "dpkg-query --show --showformat='${Version}' lab-kernel")
_KERNEL = r"rpm --query --queryformat='%{VERSION}\n' kernel | tail -n 1"
RHEL = Programs("rhel", _RPM, _DNF, "rpm --erase kernel", _KERNEL)
SLE = Programs("sle", _RPM, _ZYPPER, "rpm --erase kernel", _KERNEL)
