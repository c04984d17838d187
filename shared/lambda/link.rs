//! The build script of every function: how it is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_CFG_TARGET_ENV");
    let target = |what| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // At a fixed address nothing has to be relocated at a cold start: 120,000 pointers, and a twentieth of the file.
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
