#!/usr/bin/env bash
# Build what is released, in dist: wheel, source archive, SHA256SUMS. build.sh PYTHON
#
# Everything is built twice, from two clones in other folders at other times, and must come out the
# same byte for byte; the wheel is built from the source archive. DRAFT=1 builds a version that the
# changelog calls unreleased, or a tree with changes (of which only commits are built). Attestations
# are made by the host that publishes the files.
set -euo pipefail
python=$(realpath -s "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stop() {  # WORDS
    echo "$1 Nothing was built." >&2
    exit 1
}

version=$("$python" -c "exec(open('desipipe/_version.py').read()); print(__version__)")
grep -q "\"version\": \"$version\"" package.json || stop "package.json has another version than $version."
grep -q "^version: $version\$" CITATION.cff || stop "CITATION.cff has another version than $version."
grep -q "version = \"$version\"" release/conda/meta.yaml || stop "The conda recipe has another version than $version."
grep -q "^## $version (" CHANGELOG.md || stop "CHANGELOG.md says nothing of $version."
if [ -z "${DRAFT:-}" ]; then
    ! grep -q "^## $version (unreleased)" CHANGELOG.md || stop "CHANGELOG.md calls $version unreleased: give it the date, or try DRAFT=1."
    [ -z "$(git status --porcelain)" ] || stop 'There are changes that are in no commit: commit them, or try DRAFT=1.'
    ! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || stop "There is a tag v$version already."
fi

export PATH=$(dirname "$python"):$PATH
for name in first second; do
    mkdir -p "$work/$name"
    git clone -q "$here" "$work/$name/tree"
    (
        cd "$work/$name/tree"
        "$python" -m hatchling build -t sdist -d "$work/$name/out" >"$work/log" 2>&1 &&
            tar -xzf "$work/$name/out/desipipe-$version.tar.gz" -C "$work/$name" &&
            cd "$work/$name/desipipe-$version" &&
            "$python" -m hatchling build -t wheel -d "$work/$name/out" >>"$work/log" 2>&1
    ) || { tail -n 40 "$work/log" >&2; stop "The $name build failed."; }
done
(cd "$work/first/out" && sha256sum -- *) >"$work/SHA256SUMS"
(cd "$work/second/out" && sha256sum --quiet -c "$work/SHA256SUMS") || stop 'Two builds of one commit differ.'

mkdir -p dist
cp "$work/first/out/"* "$work/SHA256SUMS" dist/
cat dist/SHA256SUMS
echo "Built twice, the same both times. To publish: git tag -a v$version, and upload dist."
