# shellcheck shell=bash
# Sourced by `cluster`: builds what a cluster consists of, from the Go module proxy and Debian's packages alone.
# What is there already, in the wanted version, is left as it is.

ETCD_AND_KUBERNETES="etcd kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet kube-proxy"
# The version of Kubernetes and etcd is that of go/go.mod; go/update.sh writes it.
TOOLS="
helm         helm.sh/helm/v3/cmd/helm@v3.19.5               helm.sh/helm/v3/internal/version.version
kubeconform  github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0  main.version
kwok         sigs.k8s.io/kwok/cmd/kwok@v0.7.0               sigs.k8s.io/kwok/pkg/consts.Version
"

find_go() {
  local version
  if ! command -v go >/dev/null; then PATH=$PATH:/usr/local/go/bin; fi
  command -v go >/dev/null || die "Go is missing; 1.24 or newer is needed: https://go.dev/dl"
  # From 1.21 on, an older one fetches what go.mod asks for.
  version=$(go env GOVERSION)
  [ "$(printf '%s\n' go1.21 "$version" | sort -V | sed -n 1p)" = go1.21 ] ||
    die "$(command -v go) is $version; 1.24 or newer is needed: https://go.dev/dl"
  # Static, since the images have no libc; and the same wherever it is built.
  export CGO_ENABLED=0 GOFLAGS="-p=2 -trimpath -buildvcs=false -mod=readonly"
}

# up_to_date FILE STAMP: FILE was made from what STAMP says.
up_to_date() { [ -e "$1" ] && [ "$(cat "$1.made-from" 2>/dev/null)" = "$2" ]; }

# made NAME BEGAN STAMP: puts a new binary in its place at once, so that one that runs is not overwritten.
made() {
  mv "$BIN/$1.new" "$BIN/$1"
  echo "$3" >"$BIN/$1.made-from"
  say "built $1 ($(elapsed "$2"))"
}

build_kubernetes() {
  local name=$1 began=$EPOCHREALTIME version number package flags stamp path
  stamp=$(cat "$HERE/go/go.mod" "$HERE/go/go.sum" "$HERE/go/etcd/main.go" "$HERE/build.sh" | sha256sum | cut -d' ' -f1)
  if up_to_date "$BIN/$name" "$stamp"; then return 0; fi
  find_go
  version=$(sed -n 's#^\s*k8s.io/kubernetes \(v[0-9.]*\).*#\1#p' "$HERE/go/go.mod")
  number=${version#v1.}
  flags="-s -w"
  for path in k8s.io/client-go/pkg/version k8s.io/component-base/version; do
    flags+=" -X $path.gitVersion=$version -X $path.gitMajor=1 -X $path.gitMinor=${number%%.*}"
    flags+=" -X $path.gitTreeState=clean -X $path.buildDate=2026-01-01T00:00:00Z"
  done
  package=k8s.io/kubernetes/cmd/$name
  if [ "$name" = etcd ]; then package=./etcd; fi
  (cd "$HERE/go" && go build -ldflags "$flags" -o "$BIN/$name.new" "$package") >&2
  made "$name" "$began" "$stamp"
}

build_tool() {
  local name=$1 began=$EPOCHREALTIME module variable
  read -r _ module variable <<<"$(echo "$TOOLS" | grep "^$name ")"
  if up_to_date "$BIN/$name" "$module"; then return 0; fi
  find_go
  local to
  to=$(mktemp -d "$CLUSTER_HOME/install.XXXXXX")
  GOBIN=$to go install -ldflags "-s -w -X $variable=${module#*@}" "$module" >&2
  mv "$to/$name" "$BIN/$name.new"
  rmdir "$to"
  made "$name" "$began" "$module"
}

# Prometheus and promtool, without its pages and without what finds targets in clouds.
build_prometheus() {
  local name=$1 began=$EPOCHREALTIME stamp
  stamp=$(cat "$HERE/prometheus/go.mod" "$HERE/prometheus/go.sum" | sha256sum | cut -d' ' -f1)
  if up_to_date "$BIN/$name" "$stamp"; then return 0; fi
  find_go
  (cd "$HERE/prometheus" && go build -tags remove_all_sd -ldflags "-s -w" -o "$BIN/$name.new" \
    "github.com/prometheus/prometheus/cmd/$name") >&2
  made "$name" "$began" "$stamp"
}

# What kubeconform checks manifests against, from the source of Kubernetes.
build_schemas() {
  local stamp began=$EPOCHREALTIME source
  stamp=$(cat "$HERE/go/go.mod" "$HERE/schemas.py" | sha256sum | cut -d' ' -f1)
  if up_to_date "$CLUSTER_HOME/schemas" "$stamp"; then return 0; fi
  need python3=python3
  find_go
  source=$(cd "$HERE/go" && go mod download k8s.io/kubernetes >&2 && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
  rm -rf "$CLUSTER_HOME/schemas"
  "$HERE/schemas.py" "$source/api/openapi-spec/swagger.json" "$CLUSTER_HOME/schemas" >&2
  echo "$stamp" >"$CLUSTER_HOME/schemas.made-from"
  say "made the schemas ($(elapsed "$began"))"
}

# The images of every node, as archives: no registry is needed.
#   localhost/pause:local                 holds a pod's namespaces
#   docker.io/library/busybox:local       Debian's busybox with all its commands
#   docker.io/library/kubectl:local       kubectl, and nothing else
build_images() {
  local images=$CLUSTER_HOME/images stamp began=$EPOCHREALTIME root applet
  need python3=python3 gcc=gcc busybox=busybox-static
  need "$(gcc -print-file-name=libc.a)=libc6-dev"
  # Debian has a dynamic one too. ldd fails for a static program, and says so.
  if ! grep -Eq "not a dynamic|statically linked" <<<"$(ldd /bin/busybox 2>&1 || true)"; then
    need static-busybox=busybox-static
  fi
  stamp=$(cat "$HERE"/images/* "$HERE/build.sh" /bin/busybox "$BIN/kubectl" | sha256sum | cut -d' ' -f1)
  if up_to_date "$images" "$stamp"; then return 0; fi
  rm -rf "$images"
  mkdir -p "$images"
  root=$(mktemp -d "$CLUSTER_HOME/image.XXXXXX")
  mkdir -p "$root"/{pause,kubectl} "$root"/busybox/{bin,etc,root,var,proc,sys,dev}
  mkdir -m 1777 "$root/busybox/tmp"

  gcc -Os -static -s -o "$root/pause/pause" "$HERE/images/pause.c"
  cp /bin/busybox "$root/busybox/bin/busybox"
  for applet in $(/bin/busybox --list); do
    if [ "$applet" != busybox ]; then ln -s busybox "$root/busybox/bin/$applet"; fi
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/busybox/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/busybox/etc/group"
  cp "$BIN/kubectl" "$root/kubectl/kubectl"

  local archive=$HERE/images/archive.py
  "$archive" "$images/pause.tar" localhost/pause:local "$root/pause" --entrypoint '["/pause"]' --user 65535:65535 >&2
  "$archive" "$images/busybox.tar" docker.io/library/busybox:local "$root/busybox" --cmd '["sh"]' >&2
  "$archive" "$images/kubectl.tar" docker.io/library/kubectl:local "$root/kubectl" --entrypoint '["/kubectl"]' >&2
  rm -r "$root"
  echo "$stamp" >"$images.made-from"
  say "made the images ($(elapsed "$began"))"
}

# build [NAME...]: everything, or these. The order is that in which most can be begun with what is there.
build() {
  local name wanted=("$@")
  if [ $# -eq 0 ]; then
    wanted=(etcd kube-apiserver kubectl helm kube-controller-manager kube-scheduler kubelet kube-proxy images
      kubeconform schemas kwok)
  fi
  mkdir -p "$BIN"
  # Two at a time would do all work twice. The lock ends with this process.
  exec 9>"$CLUSTER_HOME/build.lock"
  if ! flock --nonblock 9; then
    say "waiting for another build"
    flock 9
  fi
  for name in "${wanted[@]}"; do
    case " $ETCD_AND_KUBERNETES " in *" $name "*)
      build_kubernetes "$name"
      continue
      ;;
    esac
    case $name in
    helm | kubeconform | kwok) build_tool "$name" ;;
    prometheus | promtool) build_prometheus "$name" ;;
    images)
      build_kubernetes kubectl
      build_images
      ;;
    schemas) build_schemas ;;
    *) die "build what? '$name' is none of $ETCD_AND_KUBERNETES helm kubeconform kwok schemas images prometheus promtool" ;;
    esac
  done
  exec 9>&-
}
