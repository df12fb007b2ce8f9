# sizes: full long
# A stranger's first minutes: a fresh Debian 12 root with git and ca-certificates only, a plain clone of
# what is committed, deploy/quickstart (which installs and builds), again, and --stop; with --long
# tests/run in its place, as a developer's first. Needs root for mmdebstrap and chroot.
# CREDBROKER_DEBIAN_MIRROR: another mirror than Debian's own.
source "$REPO/tests/steps/functions.bash"
if ((EUID != 0)); then
  case_failed "a fresh root needs root: nothing was tried"
  finish_step
fi
scratch=$(mktemp -d /var/tmp/credbroker-root.XXXXXX)
clean() { rm -rf --one-file-system "$scratch"; }
trap clean EXIT
root=$scratch/root

# timed WHAT COMMAND..: one case, with its time.
timed() {
  local what=$1 start=$SECONDS
  shift
  if "$@" </dev/null; then
    case_ok "$what ($((SECONDS - start)) s)"
  else
    case_failed "$what ($((SECONDS - start)) s, exit $?)"
    finish_step
  fi
}

# Settings of this machine's apt that say how mirrors are reached go along.
apt_options=()
while IFS= read -r option; do apt_options+=("--aptopt=$option"); done < <(
  apt-config dump | grep -E '^Acquire::(http|https)::|^Acquire::Check-')
mirror=${CREDBROKER_DEBIAN_MIRROR:-http://deb.debian.org/debian}
timed "a fresh root" timeout 900 mmdebstrap --quiet --variant=apt --include=git,ca-certificates \
  "${apt_options[@]}" bookworm "$root" "deb $mirror bookworm main"

git clone --quiet --bare "$REPO" "$root/srv/credbroker.git"

# inside COMMAND: in the root, in process and mount namespaces of its own, which end with it. The root
# has no mount of its own, so what a machine has mounted is mounted before it is entered.
inside() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --pid --fork --kill-child bash -c \
    'mount -t proc proc "$0/proc" && mount -t sysfs sys "$0/sys" && mount --rbind /dev "$0/dev" &&
      exec chroot "$0" "${@}"' "$root" \
    /usr/bin/env -i HOME=/srv/stranger PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 bash -ec "$1"
}

timed "a plain clone" inside 'mkdir -p /srv/stranger && cd /srv/stranger && git clone --quiet /srv/credbroker.git'
# says WHAT PATTERN FILE
says() { if grep -q "$2" "$root/srv/$3"; then case_ok "$1"; else case_failed "$1"; fi; }

if [ "$SIZE" = full ]; then
  # One process namespace for both runs and the stop: the broker lives in it.
  show() {
    inside 'cd /srv/stranger/credbroker
      start=$SECONDS
      deploy/quickstart | tee /srv/first.log
      echo "first run: $((SECONDS - start)) s"
      start=$SECONDS
      deploy/quickstart | tee /srv/second.log
      took=$((SECONDS - start))
      echo "second run: $took s"
      [ "$took" -le 60 ]
      stat -c "keyring %a" /srv/stranger/.local/share/credbroker/quickstart/keyring | tee /srv/keyring.log
      deploy/quickstart --stop | tee /srv/stop.log'
  }
  timed "deploy/quickstart, again, and --stop" \
    timeout 3000 bash -c "$(declare -f inside show); root='$root' show"
  says "the first run shows the 429" 'ACCEPTED, state .*WAITING' first.log
  says "the first run shows the return" 'is AVAILABLE again, by itself' first.log
  says "the first run ends with one clear line" '^credbroker is running (process [0-9]*)\.$' first.log
  says "the second run does the same" '^credbroker is running (process [0-9]*)\.$' second.log
  says "the keyring is 0400" 'keyring 400' keyring.log
  says "--stop stops it" '^stopped (process' stop.log
fi

# tests_run: tests/run in the root. Certificates and npm settings of this machine, which say how its
# registry is reached, go along as apt's did.
tests_run() {
  cp -rL --remove-destination /etc/ssl/certs/. "$root/etc/ssl/certs/"
  if [ -e "$HOME/.npmrc" ]; then cp "$HOME/.npmrc" "$root/srv/stranger/.npmrc"; fi
  inside 'cd /srv/stranger/credbroker
    start=$SECONDS
    code=0
    tests/run || code=$?
    echo "tests/run: $((SECONDS - start)) s"
    exit "$code"' | tee "$root/srv/tests.log"
  return "${PIPESTATUS[0]}"
}
if [ "$SIZE" = long ]; then
  timed "tests/run" timeout 5400 bash -c \
    "$(declare -f inside tests_run); root='$root' HOME='$HOME' tests_run"
  says "tests/run ends with its counts" '^[0-9]* passed, 0 failed$' tests.log
fi
finish_step
