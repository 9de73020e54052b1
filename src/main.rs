//! The binary `driver`. All it does is hand over to the command line.

fn main() -> std::process::ExitCode {
    pigeon::cli::main()
}
