#!/bin/sh
# Pythons of other processors, for the test that event ids are the same on each: Debian's own packages, unpacked under
# target/platforms and run by qemu. Needs Debian, root and its archive; without them that test is left out, and says so.
set -eu
cd "$(dirname "$0")/.."
command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || { echo "no Debian, or not root: other processors are left out"; exit 0; }

version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
command -v qemu-s390x-static >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user-static >/dev/null; }
for pair in arm64:aarch64 s390x:s390x; do # s390x is big-endian
    debian=${pair%:*} machine=${pair#*:}
    root="$PWD/target/platforms/$machine"
    [ -x "$root/usr/bin/python$version" ] && continue
    rm -rf "$root" && mkdir -p "$root/debs"
    dpkg --add-architecture "$debian"
    apt-get update -qq
    (cd "$root/debs" && for package in libc6 libgcc-s1 "libpython$version-minimal" "libpython$version-stdlib" \
        "python$version-minimal" libssl3 libexpat1 zlib1g libffi8 libbz2-1.0 liblzma5; do
        apt-get download -qq "$package:$debian" 2>/dev/null
    done)
    dpkg --remove-architecture "$debian"
    for deb in "$root"/debs/*.deb; do dpkg -x "$deb" "$root"; done
    rm -rf "$root/debs"
    ln -sf "python$version" "$root/usr/bin/python3"
    echo "$machine: $(qemu-"$machine"-static -L "$root" "$root/usr/bin/python3" -S -c 'import platform; print(platform.platform())')"
done
