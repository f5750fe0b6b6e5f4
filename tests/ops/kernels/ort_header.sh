#!/usr/bin/env bash
# Puts onnxruntime_c_api.h into a folder: the one of Debian's libonnxruntime-dev, for a machine with
# apt and Debian's keyring. Nothing is installed.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial archives/partial
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] http://deb.debian.org/debian trixie main" >trixie.list
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/trixie.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" download libonnxruntime-dev
dpkg -x libonnxruntime-dev_*.deb files
cp files/usr/include/onnxruntime/onnxruntime_c_api.h "$folder"
