#!/usr/bin/env bash
# Three Docker hosts on one machine:   eval "$(scripts/docker-hosts-up.sh DIR)"; scripts/docker-hosts-down.sh DIR ends them.
#   one     a private engine on its socket, DIR/one/docker.sock
#   tls     another one in a network of its own, over TCP with TLS: its authority and certificates are in DIR/pki
#   far     a third one, by ssh to this machine as user pk-far on port 2222
# DIR/hosts.yaml names the last two. DIR/bin/ssh is the ssh of this machine with the configuration in DIR/ssh. Needs root; installs
# Debian's docker.io and openssh-server if they are missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(realpath -m "$1")
say() { echo "$(basename "$0"): $*" >&2; }
if [ "$(id -u)" != 0 ]; then
  say "networks and users need root"
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
missing=()
[ -x /usr/sbin/sshd ] || missing+=(openssh-server)
command -v ssh >/dev/null || missing+=(openssh-client)
command -v openssl >/dev/null || missing+=(openssl)
command -v ip >/dev/null || missing+=(iproute2)
if [ "${#missing[@]}" -gt 0 ]; then
  # No sshd of the machine is to be started by the package.
  { apt-get update && RUNLEVEL=1 apt-get install -y --no-install-recommends "${missing[@]}"; } >&2
fi
# A path that a user of ssh reaches.
mkdir -p "$dir"/{pki,ssh,bin}
chmod 755 "$dir"

# A network with two ends: 10.199.N.1 is this machine, 10.199.N.2 the engine.
net=pk$(printf %s "$dir" | cksum | cut -d' ' -f1 | tail -c 8)
part=$(($(printf %s "$dir" | cksum | cut -d' ' -f1) % 200 + 1))
echo "$net" >"$dir/net"
if ! grep -qw "$net" <<<"$(ip netns list)"; then
  ip netns add "$net"
  ip link add "$net-a" type veth peer name "$net-b" netns "$net"
  ip addr add "10.199.$part.1/30" dev "$net-a"
  ip link set "$net-a" up
  ip -n "$net" addr add "10.199.$part.2/30" dev "$net-b"
  ip -n "$net" link set "$net-b" up
  ip -n "$net" link set lo up
fi
address=10.199.$part.2

# An authority, a certificate for each side, one that has expired, and an authority that has signed nothing.
cd "$dir/pki"
# sign NAME DAYS EXTENSIONS [AUTHORITY]
sign() {
  local authority=${4:-ca}
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA "$authority.pem" -CAkey "$authority.key" -CAcreateserial -days "$2" -out "$1.pem" -extfile <(echo "$3") 2>/dev/null
}
if [ ! -e ca.pem ]; then
  for authority in ca other; do
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$authority.key" -out "$authority.pem" -subj "/CN=$authority" -days 30 2>/dev/null
  done
  sign server 30 "subjectAltName=IP:$address"
  sign client 30 "extendedKeyUsage=clientAuth"
  # Its last day is over before it begins.
  sign expired -1 "subjectAltName=IP:127.0.0.1"
  sign stranger 30 "extendedKeyUsage=clientAuth" other
fi
cd - >/dev/null

"$here/docker-up.sh" "$dir/one" >"$dir/one.env"
NETNS=$net DOCKERD_FLAGS="--host tcp://$address:2376 --tlsverify --tlscacert $dir/pki/ca.pem --tlscert $dir/pki/server.pem --tlskey $dir/pki/server.key" \
  "$here/docker-up.sh" "$dir/tls" >"$dir/tls.env"
"$here/docker-up.sh" "$dir/far" >"$dir/far.env"
for engine in one tls far; do "$here/docker-image.sh" "$dir/$engine"; done

# The user of ssh may use the third engine alone.
id pk-far >/dev/null 2>&1 || useradd --create-home --shell /bin/sh pk-far
# Without PAM, a user without any password cannot log in at all.
usermod --password "*" pk-far
chmod 755 "$dir/far"
chown pk-far "$dir/far/docker.sock"
for key in host client refused; do
  [ -e "$dir/ssh/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$key" -f "$dir/ssh/$key"
done
install -m 644 "$dir/ssh/client.pub" "$dir/ssh/authorized"
cat >"$dir/ssh/sshd_config" <<END
Port 2222
ListenAddress 127.0.0.1
HostKey $dir/ssh/host
PidFile $dir/ssh/sshd.pid
AuthorizedKeysFile $dir/ssh/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
MaxSessions 40
MaxStartups 100
AllowUsers pk-far
SetEnv DOCKER_HOST=unix://$dir/far/docker.sock
END
mkdir -p /run/sshd
if ! { [ -e "$dir/ssh/sshd.pid" ] && kill -0 "$(cat "$dir/ssh/sshd.pid")" 2>/dev/null; }; then
  /usr/sbin/sshd -f "$dir/ssh/sshd_config" -E "$dir/ssh/sshd.log"
fi
echo "[127.0.0.1]:2222 $(cut -d' ' -f1,2 "$dir/ssh/host.pub")" >"$dir/ssh/known_hosts"
echo "[127.0.0.1]:2222 $(cut -d' ' -f1,2 "$dir/ssh/refused.pub")" >"$dir/ssh/changed_hosts"
: >"$dir/ssh/no_hosts"
cat >"$dir/ssh/config" <<END
Host far unknown changed refused
  HostName 127.0.0.1
  Port 2222
Host unknown
  UserKnownHostsFile $dir/ssh/no_hosts
Host changed
  UserKnownHostsFile $dir/ssh/changed_hosts
Host refused
  IdentityFile $dir/ssh/refused
  IdentitiesOnly yes
  UserKnownHostsFile $dir/ssh/known_hosts
Host far unknown changed 127.0.0.1
  IdentityFile $dir/ssh/client
  IdentitiesOnly yes
  UserKnownHostsFile $dir/ssh/known_hosts
  GlobalKnownHostsFile /dev/null
END
printf '#!/bin/sh\nexec %s -F "${PK_SSH_CONFIG:-%s}" "$@"\n' "$(command -v ssh)" "$dir/ssh/config" >"$dir/bin/ssh"
chmod +x "$dir/bin/ssh"

cat >"$dir/hosts.yaml" <<END
hosts:
- name: tls
  endpoint: tcp://$address:2376
  tls: {ca: pki/ca.pem, cert: pki/client.pem, key: pki/client.key}
- name: far
  endpoint: ssh://pk-far@127.0.0.1:2222
END
echo "export POOLKEEPER_HOSTS_DIR=$dir POOLKEEPER_HOSTS_ADDRESS=$address"
