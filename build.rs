//! Names the shared library for the loader and keeps it loaded.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The tests compile C for the same target.
    println!("cargo:rustc-env=FREYJA_TARGET={}", variable("TARGET"));
    let elf_systems = [
        "linux",
        "android",
        "freebsd",
        "netbsd",
        "openbsd",
        "dragonfly",
        "illumos",
        "solaris",
    ];
    if elf_systems.contains(&variable("CARGO_CFG_TARGET_OS").as_str()) {
        let soname = format!("libfreyja.so.{}", variable("CARGO_PKG_VERSION_MAJOR"));
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{soname}");
        // Threads may still run destructors of the library's thread-local values, and the fork handler
        // stays registered, after a host has called dlclose.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

fn variable(name: &str) -> String {
    var(name).unwrap_or_else(|_| panic!("cargo did not set {name}"))
}
