//! Settings as keys of the config file, and as switches that are turned on or off, made into the
//! arguments that say the same.

use std::ffi::OsString;

use clap::{ArgAction, CommandFactory as _};

use crate::cli::args::Cli;
use crate::cli::escape::escape;
use crate::cli::print::nearest;

/// Settings are all options but those that choose the file or ask for help.
pub(super) fn is_setting(id: &str) -> bool {
    !matches!(id, "torrents" | "config" | "no_config" | "find_port" | "help" | "version")
}

/// Takes out the switches that are turned off, as `--check=false`, and names them; what is turned
/// on so becomes the plain flag.
pub(super) fn take_off(arguments: &mut Vec<OsString>) -> Vec<String> {
    let command = Cli::command();
    let switches = command.get_arguments().filter(|arg| is_setting(arg.get_id().as_str()));
    let switches = switches.filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue));
    let switches: Vec<(&str, String)> = switches
        .filter_map(|arg| Some((arg.get_id().as_str(), format!("--{}=", arg.get_long()?))))
        .collect();
    let (mut off, mut is_over) = (Vec::new(), false);
    arguments.retain_mut(|word| {
        is_over |= word == "--";
        let text = word.to_str().filter(|_| !is_over).unwrap_or_default();
        let found =
            switches.iter().find_map(|(id, flag)| Some((id, flag, text.strip_prefix(flag)?)));
        match found {
            Some((id, _, "false" | "no" | "off" | "0")) => {
                off.push((*id).to_owned());
                false
            }
            Some((_, flag, "true" | "yes" | "on" | "1")) => {
                *word = flag.trim_end_matches('=').into();
                true
            }
            _ => true,
        }
    });
    off
}

/// What the long flag `key` does with values.
///
/// # Errors
/// For unknown keys, with the nearest known one.
pub(super) fn action_of(key: &str) -> Result<ArgAction, String> {
    let command = Cli::command();
    let known = || command.get_arguments().filter(|arg| is_setting(arg.get_id().as_str()));
    let found = known().find(|arg| arg.get_long() == Some(key));
    found.map(|arg| arg.get_action().clone()).ok_or_else(|| {
        let names = known().filter_map(clap::Arg::get_long);
        let near = nearest(key, names);
        let hint = near.map(|near| format!(" - did you mean {near:?}?")).unwrap_or_default();
        format!("unknown setting {:?}{hint}", escape(key))
    })
}

pub(super) fn as_arguments(
    key: &str,
    value: &toml::Value,
    action: &ArgAction,
) -> Result<Vec<OsString>, String> {
    use toml::Value::{Array, Boolean, Float, Integer, String};
    let flag = format!("--{key}");
    match (action, value) {
        (ArgAction::SetTrue, Boolean(true)) => Ok(vec![flag.into()]),
        (ArgAction::SetTrue, Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err(format!("{key} is true or false")),
        (ArgAction::Count, Integer(count @ 0..=4)) => {
            Ok(std::iter::repeat_n(OsString::from(flag), *count as usize).collect())
        }
        (ArgAction::Count, _) => Err(format!("{key} is a number from 0 to 4")),
        (_, String(text)) => Ok(vec![format!("{flag}={text}").into()]),
        (_, Integer(number)) => Ok(vec![format!("{flag}={number}").into()]),
        (_, Float(number)) => Ok(vec![format!("{flag}={number}").into()]),
        (ArgAction::Append, Array(items)) => {
            let each = items.iter().map(|item| as_arguments(key, item, action));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
        _ => Err(format!("{key} is a text or a number")),
    }
}
