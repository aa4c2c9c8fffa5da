# Sourced by the suites in cluster.d that act as a user of Kubernetes does: `ns` is the namespace that `k` works in.
# shellcheck shell=bash

: "${ns:?the namespace of the suite}"
passed=0
# For how many seconds anything is waited for that a step brings about. Only a fault takes so long: on a machine that does other work
# too, a Pod can need a minute for what it does in a second elsewhere.
patience=300
work=$(mktemp -d)
watchers=()
trap 'end_watchers; rm -rf "$work"' EXIT
end_watchers() {
  local pid
  for pid in "${watchers[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  watchers=()
}

# step TEXT: what the lines that follow show.
step() {
  passed=$((passed + 1))
  echo "--- $*"
}
fail() {
  echo "FAILED: $*" >&2
  kubectl get cpool,pkw,pkd,pods -A -o wide >&2 || true
  kubectl -n poolkeeper logs deploy/poolkeeper --tail=30 >&2 || true
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
k() { kubectl -n "$ns" "$@"; }
# until_true TEXT COMMAND...: a condition that kubectl cannot wait for.
until_true() {
  local what=$1 end=$((SECONDS + patience))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then fail "in vain: $what"; fi
    sleep 0.2
  done
}
# is WANTED KIND/NAME JSONPATH: a field has this value.
is() { [ "$(k get "$2" -o "jsonpath=$3")" = "$1" ]; }
becomes() { until_true "$2 $3 is $1, it is $(k get "$2" -o "jsonpath=$3")" is "$@"; }
# refused WORDS COMMAND...: it fails, and says so with these words.
refused() {
  local words=$1
  shift
  if "$@" >"$work/out" 2>&1; then fail "not refused: $*"; fi
  grep -qF -- "$words" "$work/out" || fail "not said: $words, but: $(cat "$work/out")"
}
# says WORDS COMMAND...: its output has them. (`| grep -q` would end the writer, and with it, now and then, this script.)
says() {
  local words=$1
  shift
  grep -qF -- "$words" <<<"$("$@")"
}
# settled POOL "UPDATED READY": what the status says of the pool as it is asked for now.
settled() {
  local generation
  generation=$(k get cpool "$1" -o 'jsonpath={.metadata.generation}')
  becomes "$generation $2" "cpool/$1" '{.status.observedGeneration} {.status.updated} {.status.ready}'
}
# dispatch NAME [SPEC]: asks by annotation and waits until it is assigned.
dispatch() {
  k annotate cpool agents "dispatch.poolkeeper.dev/$1=${2:-}" >/dev/null
  k wait --for=create "pkd/$1" --timeout="${patience}s" >/dev/null
  k wait --for=condition=Assigned "pkd/$1" --timeout="${patience}s" >/dev/null
}
# finished NAME PHASE
finished() { k wait "--for=jsonpath={.status.phase}=$2" "pkd/$1" --timeout="${patience}s" >/dev/null; }
pool() {
  cat <<Y
apiVersion: poolkeeper.dev/v1alpha1
kind: ContainerPool
metadata: {name: ${1:-agents}, namespace: $ns}
spec: {image: "docker.io/library/busybox:local", command: [sleep, infinity], min: 1, max: 3, cooldown: 10s${2:-}}
Y
}

# install_controller [FLAGS]: the controller's image is loaded, and its chart installed.
install_controller() {
  scripts/cluster/cluster load target/image/poolkeeper.tar
  helm install poolkeeper charts/poolkeeper --namespace poolkeeper --create-namespace --wait --timeout 10m "$@"
  record_words
}
# upgrade_controller FLAGS: to the same version with other flags. The one that ran before has ended by then: while it does, it leads.
upgrade_controller() {
  helm upgrade poolkeeper charts/poolkeeper --namespace poolkeeper --reuse-values --wait --timeout 10m "$@" >/dev/null
  until_true "the controller that ran before is gone" one_controller
}
one_controller() { [ "$(kubectl -n poolkeeper get pods -l app.kubernetes.io/name=poolkeeper -o name | wc -l)" = 1 ]; }
# record_words: from now on, what conditions and Events say is recorded; judge_words reads it. Once more, if the watches ended.
record_words() {
  local kind conditions='{.status.conditions[*].type};{.status.conditions[*].status};{.status.conditions[*].reason};end{"\n"}'
  for kind in ContainerPool:cpool Worker:pkw Dispatch:pkd; do
    # With a {range}, kubectl fails at the second object.
    kubectl get "${kind#*:}" -A -w -o "jsonpath=${kind%:*};$conditions" >>"$work/words-${kind%:*}" 2>/dev/null &
    watchers+=($!)
  done
  kubectl get events.events.k8s.io -A -w -o 'jsonpath={.reportingController} {.regarding.kind} Event {.reason} end{"\n"}' \
    >>"$work/words-events" 2>/dev/null &
  watchers+=($!)
}
# reasons: a line for each reason in what record_words recorded.
reasons() {
  # The last line may be cut off, since its writer was ended.
  sed -n 's/^poolkeeper[^ ]* \(.*\) end$/\1/p' "$work/words-events"
  awk -F ';' '$5 == "end" {
    n = split($2, type, " "); split($3, status, " "); split($4, reason, " ")
    for (i = 1; i <= n; i++) print $1, type[i] "=" status[i], reason[i]
  }' "$work"/words-[A-Z]*
}
# judge_words: each reason that was recorded has its section in docs/conditions.md. Those of the suite are in target/produced.
judge_words() {
  local heard line kind word reason
  end_watchers
  mkdir -p target/produced
  heard=target/produced/$(basename "$0" .sh).txt
  reasons | awk 'NF == 3' | sort -u >"$heard"
  while read -r line; do
    read -r kind word reason <<<"$line"
    documented "$kind" "$word" "$reason" || fail "docs/conditions.md has no section for: $line"
    if ! grep -qxF "$line" scripts/ci/cluster.d/produced.txt; then echo "not yet in cluster.d/produced.txt: $line"; fi
  done <"$heard"
  echo "$(wc -l <"$heard") reasons of conditions and Events were recorded in $heard"
}
# documented KIND TYPE=STATUS REASON, or KIND Event REASON
documented() {
  local page=docs/conditions.md
  if [ "$2" = Event ]; then
    grep -q "^| $3 | .*$1" "$page"
    return
  fi
  grep -qxF "## $1: condition ${2%=*}" "$page" || return 1
  grep -qxF "### $2, $3" "$page" && return
  # An outcome, or a reason that the dispatch has from its pool.
  { grep -qxF "### $2, an outcome" "$page" && grep -qxF "### $3" "$page"; } ||
    { grep -q "^### $2, a reason of Ready=False" "$page" && grep -qxF "### Ready=False, $3" "$page"; }
}

# make_namespace: the suite's, ready for Pods.
make_namespace() {
  kubectl create namespace "$ns"
  until_true "the service account" k get serviceaccount default
}
# uninstall_controller: and the CRDs, and the suite's namespace.
uninstall_controller() {
  judge_words
  helm uninstall poolkeeper --namespace poolkeeper --wait --timeout 10m
  kubectl delete crd containerpools.poolkeeper.dev workers.poolkeeper.dev dispatches.poolkeeper.dev --timeout="${patience}s"
  kubectl delete namespace poolkeeper "$ns" --timeout="${patience}s"
}
# shows WANTED COMMAND...: its whole output becomes these words.
shows() {
  local wanted=$1
  shift
  until_true "$(printf 'the output of %s is:\n%s\nbut it is:\n%s' "$*" "$wanted" "$("$@" 2>&1 || true)")" same_output "$wanted" "$@"
}
same_output() {
  local wanted=$1
  shift
  [ "$("$@" 2>&1)" = "$wanted" ]
}
