#!/usr/bin/env bash
# Keeps the models of a site the pinned ones: `pull` in the Job, `loaded` and `present` in the server's probes.
# Ollama's image has bash and coreutils, and neither curl nor jq.
#   MODELS       a name and a digest on each line
#   OLLAMA_HOST  address and port of the server in this pod
#   STORE, SET   folder of all sets of models, and the name of the set that MODELS is (`pull` only)
set -euo pipefail

# request METHOD PATH [BODY]: prints what the server answers with status 200.
request() {
  local body=${3-} status line
  { exec 3<>"/dev/tcp/127.0.0.1/${OLLAMA_HOST##*:}"; } 2>/dev/null || return 1
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$2" "${#body}" "$body" >&3
  read -r _ status _ <&3 || return 1
  [ "$status" = 200 ] || return 1
  while read -r line <&3 && [ "$line" != $'\r' ]; do :; done
  cat <&3
  exec 3>&-
}

# digest_of NAME: prints the digest under which the server lists the model; nothing where it does not list it.
# Go writes JSON without spaces and in the order of the fields, so that no part of a name passes for a digest.
digest_of() {
  local answer name digest
  answer=$(request GET /api/tags) || return 1
  while IFS=' ' read -r name digest; do
    if [ "$name" = "$1" ]; then printf '%s\n' "$digest"; fi
  done < <(
    grep -oE '"name":"[^"\\{}]+","model":"[^"\\{}]*",[^{}]*"digest":"[0-9a-f]{64}"' <<<"$answer" |
      sed -E 's/^"name":"([^"]+)",.*"digest":"([0-9a-f]{64})"$/\1 \2/'
  )
}

present() {
  local name digest found
  while IFS=' ' read -r name digest; do
    found=$(digest_of "$name") || { echo "no answer from /api/tags"; return 1; }
    [ "$found" = "$digest" ] || { echo "$name has the digest ${found:-of no model}, pinned is $digest"; return 1; }
  done <<<"$MODELS"
}

# A request without a prompt loads the model. One that only makes embeddings has no prompts.
loaded() {
  local name
  while IFS=' ' read -r name _; do
    request POST /api/generate "{\"model\":\"$name\"}" >/dev/null ||
      request POST /api/embed "{\"model\":\"$name\",\"input\":\".\"}" >/dev/null ||
      { echo "$name does not load"; return 1; }
  done <<<"$MODELS"
}

pull() {
  local folder=$STORE/$SET log=${TMPDIR:-/tmp}/ollama.log blob digest found name previous
  export OLLAMA_MODELS=$folder
  mkdir -p "$folder/blobs" "$folder/manifests"
  # Blobs are named by their digest: what an earlier set has is not downloaded again.
  for blob in "$STORE"/*/blobs/sha256-*; do
    [[ ${blob##*/} =~ ^sha256-[0-9a-f]{64}$ ]] || continue
    [ -e "$folder/blobs/${blob##*/}" ] || ln "$blob" "$folder/blobs/"
  done

  ollama serve >"$log" 2>&1 &
  server=$!
  trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
  for ((tries = 0; ; tries++)); do
    if request GET /api/version >/dev/null; then break; fi
    if ((tries == 300)) || ! kill -0 "$server" 2>/dev/null; then
      tail -n 20 "$log"
      echo "ollama serve does not answer"
      exit 1
    fi
    sleep 0.2
  done

  while IFS=' ' read -r name digest; do
    found=$(digest_of "$name")
    if [ "$found" != "$digest" ]; then
      ollama pull "$name" </dev/null >"$log.pull" 2>&1 || { tail -c 500 "$log.pull"; echo "$name: not pulled"; exit 1; }
      found=$(digest_of "$name")
    fi
    if [ "$found" != "$digest" ]; then
      ollama rm "$name" </dev/null || echo "$name: not removed"
      echo "$name: refused, its digest is ${found:-unknown} and the pinned one $digest"
      exit 3
    fi
    echo "$name: $digest"
  done <<<"$MODELS"

  for blob in "$folder"/blobs/*; do
    digest=${blob##*/}
    grep -qrF "${digest/-/:}" "$folder/manifests" || rm -f "$blob"
  done
  # The server may use the set before this one until it is started with this one.
  previous=$(cat "$STORE/current" 2>/dev/null || true)
  for folder in "$STORE"/*/; do
    name=$(basename "$folder")
    [[ $name =~ ^[0-9a-f]{16}$ ]] || continue
    [ "$name" = "$SET" ] || [ "$name" = "$previous" ] || rm -rf "$folder"
  done
  echo "$SET" >"$STORE/current"
}

case ${1-} in
  pull | loaded | present) "$1" ;;
  *) echo "expected pull, loaded or present" && exit 2 ;;
esac
