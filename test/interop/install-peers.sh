#!/bin/sh
# Installs the stock TLS peers of `make interop`, Debian packages only. Safe to run again: what is there is left alone.
# Where it cannot install (not root, no apt) it says so and ends with 0; the harness then skips those peers by name.
set -eu

packages='
  postgresql softhsm2 iproute2 tcpdump redis-server mosquitto mariadb-server-core mariadb-client-core
  openssl gnutls-bin libnss3-tools botan curl nmap testssl.sh chromium
  lighttpd lighttpd-mod-openssl lighttpd-mod-gnutls lighttpd-mod-nss lighttpd-mod-mbedtls lighttpd-mod-wolfssl
'

say() { printf 'install-peers: %s\n' "$*"; }

command -v apt-get >/dev/null 2>&1 || { say 'no apt-get here: nothing installed, missing peers will be skipped'; exit 0; }
command -v dpkg-query >/dev/null 2>&1 || { say 'no dpkg here: nothing installed, missing peers will be skipped'; exit 0; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }

# A compiler or runtime that came from elsewhere serves as well as the packaged one.
command -v go >/dev/null 2>&1 || [ -x /usr/local/go/bin/go ] || packages="$packages golang-go"
command -v javac >/dev/null 2>&1 || packages="$packages default-jdk-headless"

missing=''
for package in $packages; do
  installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || { say 'all peers are installed'; exit 0; }
[ "$(id -u)" = 0 ] || { say "not root: cannot install$missing"; exit 0; }

export DEBIAN_FRONTEND=noninteractive
# A package starting its own service (lighttpd on port 80) is no part of these tests.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi

apt-get update -qq || { say 'apt-get update failed: nothing installed'; exit 0; }
wanted=''
for package in $missing; do
  if apt-cache show "$package" >/dev/null 2>&1; then
    wanted="$wanted $package"
  else
    say "no such package on this release: $package"
  fi
done
[ -n "$wanted" ] || exit 0
say "installing$wanted"
# shellcheck disable=SC2086 # a list of names
if apt-get install -y -qq --no-install-recommends $wanted >/dev/null; then
  say 'done'
else
  say 'apt-get install failed: the peers it left out will be skipped'
fi
