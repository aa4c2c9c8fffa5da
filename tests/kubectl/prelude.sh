# What each line of a transcript finds.
export KUBE_EDITOR
k() { "$KUBECTL" "$@"; }

# Of `kubectl explain`: the fields, without the texts.
fields() { grep -P '^(GROUP|KIND|VERSION|FIELD)|\t<|enum:'; }

# The parts of a JSON document. Servers order the fields of an object as they like.
parts() { tr -s '{},[]' '\n' | sort; }

# watching N COMMAND ARGUMENT...: `kubectl ARGUMENT...`, which goes on, until it has printed a line; then COMMAND; then until
# there are N lines.
watching() {
  local n=$1 command=$2 pid
  shift 2
  : >watched
  "$KUBECTL" "$@" >watched 2>&1 &
  pid=$!
  lines 1 "$pid"
  eval "$command" >/dev/null
  lines "$n" "$pid"
  kill "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  head -n "$n" watched
}

# lines N PID: waits for that many, or for the end of the process.
lines() {
  while [ "$(wc -l <watched)" -lt "$1" ] && kill -0 "$2" 2>/dev/null; do sleep 0.05; done
}

# gone KIND NAME: waits until there is none.
gone() {
  while k get "$@" >/dev/null 2>&1; do sleep 0.1; done
}

# family BLOCKS: makes the gadgets `parent` and `child`, which `parent` owns. BLOCKS: whether the child holds up the parent's
# deletion in the foreground.
family() {
  local uid
  uid=$(k create -f family.yaml -o jsonpath='{.metadata.uid}')
  sed "s/parent/child/; s/name: child/&, ownerReferences: [{apiVersion: test.poolkeeper.dev\/v1, kind: Gadget, name: parent, \
uid: $uid, blockOwnerDeletion: $1}]/" family.yaml | k create -f -
}
