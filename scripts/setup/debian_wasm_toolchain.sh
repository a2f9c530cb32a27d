#!/usr/bin/env bash
# Makes a Rust toolchain with wasm32-unknown-unknown in FOLDER from Debian's packages, without installing any of them.
# For machines on which rustup cannot download the target. 150 MB of packages, 600 MB unpacked, about two minutes.
#
# usage: debian_wasm_toolchain.sh FOLDER
set -euo pipefail
folder=$1
target=wasm32-unknown-unknown
host=x86_64-unknown-linux-gnu
say() { echo "wasm toolchain: $*"; }

[ "$(uname -m)" = x86_64 ] || { say "only x86_64 Linux is provided for"; exit 1; }
command -v cc >/dev/null || { say "no C linker: apt-get install -y gcc libc6-dev"; exit 1; }
apt-cache show rustc-web lld-22 >/dev/null 2>&1 || apt-get update -qq

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/.wasm-toolchain.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Download and unpack. ------------------------------------------------------------------------------------------------
# The meta package's name carries no version; the library's does.
library=$(apt-cache depends libstd-rust-web-dev | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p' | head -1)
packages="rustc-web cargo-web rust-web-clippy libstd-rust-web-dev $library rust-web-src lld-22 libllvm22 libz3-4"
# Shared libraries that this machine lacks: what apt would install along with them.
needed=$(apt-get install -s --no-install-recommends $packages 2>/dev/null | awk '/^Inst/{print $2}' | grep -E '^lib' || true)
say "downloading $packages"
mkdir -p "$work/packages" "$work/root"
(cd "$work/packages" && apt-get -o APT::Sandbox::User=root download -qq $(printf '%s\n' $packages $needed | sort -u))
for package in "$work"/packages/*.deb; do
  case $package in
    */rust-web-src_*) dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work/root" --wildcards './usr/src/rustc-*/library' ;;
    *) dpkg -x "$package" "$work/root" ;;
  esac
done
tree=$work/root/usr
[ ! -d "$work/root/lib/x86_64-linux-gnu" ] || cp -a "$work/root/lib/x86_64-linux-gnu/." "$tree/lib/x86_64-linux-gnu/"
if LD_LIBRARY_PATH=$tree/lib/x86_64-linux-gnu ldd "$tree/bin/rustc" "$tree/bin/cargo" "$tree/lib/llvm-22/bin/lld" | grep 'not found'; then
  say "the shared libraries above are missing"
  exit 1
fi

# Wrappers, because the programs look for their libraries and sysroot in /usr. ----------------------------------------
mkdir -p "$tree/libexec/real" "$tree/lib/rustlib/$host/bin"
for program in rustc cargo rustdoc cargo-clippy clippy-driver; do
  mv "$tree/bin/$program" "$tree/libexec/real/$program"
  case $program in
    rustc | rustdoc) sysroot='--sysroot "$prefix"' ;;
    *) sysroot='' ;;
  esac
  cat >"$tree/bin/$program" <<WRAPPER
#!/bin/sh
prefix=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
LD_LIBRARY_PATH="\$prefix/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" SYSROOT="\$prefix"
export LD_LIBRARY_PATH SYSROOT
exec "\$prefix/libexec/real/$program" $sysroot "\$@"
WRAPPER
  chmod +x "$tree/bin/$program"
done
# rustc looks for its linker exactly here.
cat >"$tree/lib/rustlib/$host/bin/rust-lld" <<'WRAPPER'
#!/bin/sh
prefix=$(dirname "$(readlink -f "$0")")/../../../..
LD_LIBRARY_PATH="$prefix/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$prefix/lib/llvm-22/bin/lld" "$@"
WRAPPER
chmod +x "$tree/lib/rustlib/$host/bin/rust-lld"
rm -rf "$tree/lib/rustlib/src/rust"
mkdir -p "$tree/lib/rustlib/src"
mv "$tree"/src/rustc-* "$tree/lib/rustlib/src/rust"
rm -rf "$tree/share" "$tree/src" "$folder"
mv "$tree" "$folder"

# The standard library for the target. --------------------------------------------------------------------------------
say "building the standard library for $target"
source=$folder/lib/rustlib/src/rust/library
# Not --offline: the crates that Debian vendors are incomplete, cargo fetches the few that are missing.
RUSTC_BOOTSTRAP=1 RUSTC="$folder/bin/rustc" CARGO_TARGET_DIR="$work/std" CARGO_PROFILE_DIST_DEBUG=0 CARGO_INCREMENTAL=0 \
  RUSTFLAGS="-Zforce-unstable-if-unmarked --remap-path-prefix=$source=/rustc/library" \
  "$folder/bin/cargo" build -q --profile dist --locked --target $target --manifest-path "$source/sysroot/Cargo.toml" \
  --no-default-features --features panic-unwind
mkdir -p "$folder/lib/rustlib/$target/lib"
cp "$work/std/$target/dist/deps/"*.rlib "$folder/lib/rustlib/$target/lib/"
say "ready in $folder"
