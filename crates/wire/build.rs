//! Generates the gRPC and record types from `proto/` with protox, so that no system `protoc` is needed.
//! Leaves out every other decision about the wire: those are in `proto/` and in `src/map`.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 5] = [
    "gateway/command/v1/command.proto",
    "gateway/command/v1/dead_letter.proto",
    "gateway/registry/v1/registry.proto",
    "gateway/link/v1/link.proto",
    "gateway/record/v1/record.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("gateway_descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
