//! What the environment says: which variables are heard, and which one is to blame for a refusal.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::builder::{OsStr, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::args::Cli;

/// The command line's definition, in which these settings have no environment variable, nor those
/// whose variable is empty: that is how people and scripts take one away.
pub(super) fn deaf_to(overruled: &[String]) -> clap::Command {
    deaf_where(overruled, &|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
}

pub(super) fn deaf_where(overruled: &[String], is_empty: &impl Fn(&str) -> bool) -> clap::Command {
    let deafen = |command: clap::Command| {
        command.mut_args(|arg| {
            let name = arg.get_env().and_then(|name| name.to_str());
            let is_deaf =
                name.is_some_and(is_empty) || overruled.iter().any(|id| arg.get_id() == id);
            if is_deaf { arg.env(Resettable::<OsStr>::Reset) } else { arg }
        })
    };
    deafen(Cli::command()).mut_subcommands(|command| deafen(command).mut_subcommands(deafen))
}

/// A refusal whose line of usage has what was typed, and not what the environment says besides,
/// which would stand there as if it had to be typed.
pub(super) fn without_used_environment(
    mut error: clap::Error,
    arguments: &[OsString],
) -> clap::Error {
    let deaf = deaf_where(&[], &|_| true).try_get_matches_from(arguments);
    let usage = deaf.err().and_then(|other| other.get(ContextKind::Usage).cloned());
    if let Some(usage) = usage.filter(|_| error.get(ContextKind::Usage).is_some()) {
        error.insert(ContextKind::Usage, usage);
    }
    error
}

/// A refusal of a value, which names the environment variable that it came from.
pub(super) fn blame_environment(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return error;
    }
    let Some(ContextValue::String(blamed)) = error.get(ContextKind::InvalidArg).cloned() else {
        return error;
    };
    let long = blamed.split_whitespace().next().and_then(|word| word.strip_prefix("--"));
    let id = long.map(|long| long.split(['=', '[']).next().unwrap_or(long).replace('-', "_"));
    let Some(id) = id.filter(|id| !id.is_empty()) else { return error };
    let deaf = deaf_to(std::slice::from_ref(&id)).try_get_matches_from(arguments);
    let is_same = |other: &clap::Error| {
        other.get(ContextKind::InvalidArg) == error.get(ContextKind::InvalidArg)
    };
    // Not refused without the environment: then that is to blame.
    if !deaf.err().is_some_and(|other| is_same(&other)) {
        let name = format!("DRIVER_{} (environment)", id.to_uppercase());
        error.insert(ContextKind::InvalidArg, ContextValue::String(name));
    }
    error
}
