#!/bin/sh
# Builds what docker/Dockerfile describes without an engine, and runs it as the manifest would: the COPY and
# RUN lines are executed in a temporary directory, the result becomes the root of a process that is nobody's
# superuser and can write nowhere. What cannot be done here is said and skipped.
set -eu
cd "$(dirname "$0")/.."
project=$PWD
work=$(mktemp -d)
passed=0
skipped=0
trap 'finish $?' EXIT

finish() {
  if [ -n "${pid:-}" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
  if [ "$1" -ne 0 ] && [ -s "$work/log" ]; then cat "$work/log"; fi
  rm -rf "$work"
  [ "$1" -eq 0 ] || echo "docker check: FAILED"
}
ok() { passed=$((passed + 1)); echo "ok       $*"; }
skip() { skipped=$((skipped + 1)); echo "skipped  $*"; }
fail() { echo "FAILED   $*"; exit 1; }
summary() { echo "docker check: $passed passed, 0 failed, $skipped skipped"; exit 0; }

# --- systemd ---------------------------------------------------------------------------------------------
if command -v systemd-analyze >/dev/null; then
  for unit in docker/*.service; do
    # 15 is an exposure of 1.5 on a scale of 10.
    systemd-analyze security --offline=true --threshold=15 "$unit" >"$work/score" 2>/dev/null ||
      fail "systemd-analyze security: $(tail -n 1 "$work/score")"
    ok "$(sed -n 's/^→ //p' "$work/score" | tr -d '🙂😀')"
  done
else
  skip "systemd-analyze: not installed"
fi

# --- the build, line by line -----------------------------------------------------------------------------
# Each stage is a directory; lines that end in a backslash are joined.
copy() { # from-directory sources... target
  from=$1; shift
  mode=; owner=; sources=; target=
  for word in "$@"; do
    case $word in
      --chown=*) owner=${word#*=} ;;
      --chmod=*) mode=${word#*=} ;;
      *) sources="$sources $target"; target=$word ;;
    esac
  done
  case $target in /*) target=$root$target ;; *) target=$root$workdir/$target ;; esac
  for source in $sources; do
    case $target in */) mkdir -p "$target" ;; *) mkdir -p "$(dirname "$target")" ;; esac
    cp -R "$from/$source" "$target"
  done
  if [ -n "$owner" ] && [ "$(id -u)" = 0 ]; then chown -R "$owner" "$target"; fi
  if [ -n "$mode" ]; then chmod "$mode" "$target"; fi
}

sed -e ':a' -e '/\\$/N; s/\\\n *//; ta' docker/Dockerfile | grep -vE '^ *(#|$)' >"$work/lines"
while read -r instruction arguments; do
  case $instruction in
    FROM)
      name=${arguments##* }
      case $arguments in *' AS '*) ;; *) name=final ;; esac
      root=$work/$name workdir=/
      mkdir -p "$root" ;;
    WORKDIR) workdir=$arguments; mkdir -p "$root$workdir" ;;
    COPY)
      case $arguments in
        --from=*)
          stage=${arguments#--from=}; stage=${stage%% *}
          # shellcheck disable=SC2086
          copy "$work/$stage" ${arguments#* } ;;
        # shellcheck disable=SC2086
        *) copy "$project" $arguments ;;
      esac ;;
    RUN) (cd "$root$workdir" && sh -c "$arguments") </dev/null >"$work/log" 2>&1 || fail "RUN $arguments" ;;
    USER) user=$arguments ;;
    ENTRYPOINT) entrypoint=$arguments ;;
    CMD) command=$arguments ;;
    *) fail "unknown instruction $instruction" ;;
  esac
done <"$work/lines"
root=$work/final
: >"$work/log"
ok "built: $(du -sm "$root" | cut -f1) MiB besides Node, of which dependencies $(du -sm "$root/app/node_modules" | cut -f1) MiB"
for absent in npm typescript mocha eslint; do
  [ ! -e "$root/app/node_modules/$absent" ] || fail "the image holds $absent"
done
ok "no tools of the build in it"
case $user in
  0* | root* | *[!0-9:]*) fail "USER $user is not a number above 0" ;;
  *) ok "USER $user" ;;
esac

# --- the process -----------------------------------------------------------------------------------------
[ "$(id -u)" = 0 ] || { skip "run: needs root for chroot and other users"; summary; }
command -v openssl >/dev/null || { skip "run: needs openssl for a throw-away authority"; summary; }
unshare --mount true 2>/dev/null || { skip "run: may not make a mount namespace"; summary; }

# In place of the base image: this machine's Node and the libraries it names.
mkdir -p "$root/nodejs/bin" "$root/proc" "$root/tmp" "$root/etc/sidekey/identity" "$root/etc/sidekey/trust"
cp "$(node -p process.execPath)" "$root/nodejs/bin/node"
ldd "$root/nodejs/bin/node" | grep -oE '/[^ ]+' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
(
  cd "$root/etc/sidekey"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj '/CN=check' \
    -keyout "$work/ca.key" -out trust/ca.crt
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -keyout identity/tls.key -out "$work/csr"
  printf '%s\n' 'subjectAltName=DNS:localhost' 'keyUsage=critical,digitalSignature' \
    'extendedKeyUsage=serverAuth,clientAuth' >"$work/extensions"
  openssl x509 -req -in "$work/csr" -CA trust/ca.crt -CAkey "$work/ca.key" -CAcreateserial -days 1 \
    -extfile "$work/extensions" -out identity/tls.crt
  chmod 0440 identity/tls.key
  chgrp 20000 identity/tls.key
) >/dev/null 2>&1 || fail "openssl"
chmod 0755 "$work" "$root"
mkdir "$work/run"

# The socket directory is what Kubernetes makes of an emptyDir with fsGroup 20000; applications mount it
# read-only.
chown 0:20000 "$work/run"
chmod 2777 "$work/run"
cat >"$work/contain" <<'END'
set -eu
echo $$ >"$PID_FILE"
mount --bind "$ROOT" "$ROOT"
mount --bind "$RUN_DIRECTORY" "$ROOT/run/sidekey"
if [ "$USER_ID" != 65532 ]; then mount -o remount,ro,bind "$ROOT/run/sidekey"; fi
mount -t proc -o nosuid,nodev,noexec proc "$ROOT/proc"
mount -o remount,ro,bind "$ROOT"
exec setpriv --no-new-privs chroot --userspec="$USER_ID:$USER_ID" --groups="$GROUPS_TOO" "$ROOT" "$@"
END
as() { # user, further groups, program and arguments: in the image, with nothing of our environment
  user_id=$1 groups=$2
  shift 2
  env -i PATH="$PATH" ROOT="$root" RUN_DIRECTORY="$work/run" USER_ID="$user_id" GROUPS_TOO="$groups" \
    PID_FILE="$work/pid" unshare --mount --propagation private sh "$work/contain" "$@"
}
node=/nodejs/bin/node
list="$node /app/dist/cli/main.js identity list --sidecar unix:/run/sidekey/sidecar.sock"

# What the image starts, less the options this Node does not know.
node -e '
  const words = [...JSON.parse(process.argv[1]), ...JSON.parse(process.argv[2])];
  const known = (word) => process.allowedNodeEnvironmentFlags.has(word.split("=")[0]);
  const options = words.findIndex((word) => word.endsWith(".js"));
  console.log(words.filter((word, i) => i === 0 || i >= options || known(word)).join(" "));
  console.error(words.filter((word, i) => i > 0 && i < options && !known(word)).join(" "));
' "$entrypoint" "$command" >"$work/command" 2>"$work/unknown"
if [ -s "$work/unknown" ] && [ -n "$(cat "$work/unknown")" ]; then
  skip "$(cat "$work/unknown"): not known to Node $(node -p process.version)"
fi
if node -e '
  require("net").connect(9464, "127.0.0.1").on("connect", () => process.exit(0)).on("error", () => process.exit(1))'; then
  skip "run: port 9464 is in use here"
  summary
fi

# shellcheck disable=SC2046
as 65532 20000 $(cat "$work/command") >"$work/log" 2>&1 &
job=$!
node -e '
  const until = Date.now() + 60_000;
  const ask = () => fetch("http://127.0.0.1:9464/readyz").then(async (r) => {
    if (r.status === 200) process.exit(0);
    throw new Error(await r.text());
  }).catch((error) => Date.now() > until ? (console.error(error), process.exit(1)) : setTimeout(ask, 100));
  ask();' || fail "not ready"
pid=$(cat "$work/pid")
ok "ready as user 65532 with a read-only root: resident $(($(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status") / 1024)) MiB"
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"; }
[ "$(status Uid)" = "$(printf '65532\t65532\t65532\t65532')" ] || fail "uid $(status Uid)"
[ "$(status CapEff)" = 0000000000000000 ] || fail "capabilities $(status CapEff)"
[ "$(status NoNewPrivs)" = 1 ] || fail "may gain privileges"
[ "$(status VmLck)" != '0 kB' ] || fail "the secure heap is not locked"
ok "no capabilities, no way to gain any, secure heap of $(status VmLck) locked"
[ "$(stat -c '%a %u %g' "$work/run/sidecar.sock")" = '660 65532 20000' ] ||
  fail "socket: $(stat -c '%a %u %g' "$work/run/sidecar.sock")"
ok "socket has mode 0660 and the shared group"

# shellcheck disable=SC2086
as 10001 20000 $list >"$work/answer" 2>&1 || fail "user 10001: $(cat "$work/answer")"
grep -q '^web ' "$work/answer" || fail "user 10001: $(cat "$work/answer")"
ok "the application's user is served through a read-only mount"
# shellcheck disable=SC2086
if as 10002 20000 $list >"$work/answer" 2>&1; then fail "user 10002 was served"; fi
grep -q 'not allowed' "$work/answer" || fail "user 10002: $(cat "$work/answer")"
ok "another user of the shared group is refused by the sidecar"
# shellcheck disable=SC2086
if as 10001 10001 $list >"$work/answer" 2>&1; then fail "a user outside the group was served"; fi
ok "a user outside the shared group cannot open the socket"
writes() { # user, path
  as "$1" 20000 $node -e 'try { fs.writeFileSync(process.argv[1], ""); console.log("written") } catch (e) { console.log(e.code) }' "$2"
}
[ "$(writes 65532 /app/dist/cli/main.js)" = EROFS ] || fail "the sidecar can change its program"
[ "$(writes 10001 /run/sidekey/other)" = EROFS ] || fail "the application can write beside the socket"
ok "neither can change the image, nor the application the socket's directory"

kill -TERM "$pid"
code=0
wait "$job" || code=$?
pid=
[ "$code" = 0 ] || fail "ended with $code after SIGTERM"
[ ! -e "$work/run/sidecar.sock" ] || fail "left its socket behind"
ok "ends with 0 on SIGTERM and takes its socket away"
summary
