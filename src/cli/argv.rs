//! Arguments as they were typed, before clap reads them or where it cannot know better: options
//! that stand before the command, commands that are to come, and slips of the fingers. What they
//! mean is in [`super::args`].

use std::ffi::OsString;
use std::path::Path;

use clap::{ColorChoice, CommandFactory as _};

use super::args::Cli;
use super::commands::load::similar;
use super::escape::escape;
use super::exit::Failure;
use super::print::nearest;
use super::values;

/// Options of every command that have a value.
const WITH_VALUE: [&str; 8] =
    ["--log", "--color", "--memory", "--interface", "--bind", "--proxy", "--dns", "--ca"];

/// Puts options that every command takes behind the command, where clap looks for them:
/// before it they would make a torrent of the command's name.
pub fn common_last(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_common = |word: &str| match word {
        "--quiet" | "--verbose" | "--proxy-peers" => Some(1),
        _ if WITH_VALUE.contains(&word) => Some(2),
        _ if word.split_once('=').is_some_and(|(flag, _)| WITH_VALUE.contains(&flag)) => Some(1),
        _ => {
            let flags = word.strip_prefix('-').filter(|flags| !flags.is_empty())?;
            flags.chars().all(|flag| matches!(flag, 'q' | 'v')).then_some(1)
        }
    };
    let mut at = 1;
    while let Some(taken) = arguments.get(at).and_then(|word| is_common(word.to_str()?)) {
        at += taken;
    }
    let command = Cli::command();
    let is_command = arguments
        .get(at)
        .is_some_and(|word| word.to_str().is_some_and(|it| command.find_subcommand(it).is_some()));
    if is_command {
        arguments[1..=at].rotate_right(1);
    }
    arguments
}

/// What to say when the ratio of `--seed` stands apart, where it would be taken for a torrent.
pub fn ratio_apart(arguments: &[OsString]) -> Option<String> {
    let options = arguments.split(|word| word == "--").next().unwrap_or_default();
    let pairs = options.windows(2).filter(|pair| pair[0] == "--seed");
    let mut apart = pairs
        .filter_map(|pair| pair[1].to_str())
        .filter(|word| values::ratio(word).is_ok() && !Path::new(word).exists());
    let ratio = apart.next()?;
    Some(format!("a ratio is written with an equals sign: --seed={ratio}"))
}

/// Refuses what is no file, but a command or nearly one: a slip is to start nothing. A word that
/// is like nothing is told what it could have been.
///
/// # Errors
/// A usage error with the command that was meant; bad input where none is like it.
pub fn refuse_mistyped(words: &[String]) -> Result<(), Failure> {
    let command = Cli::command();
    let names = || command.get_subcommands().map(clap::Command::get_name);
    // Words that stand alone by habit only are named with the command that they are of.
    let is_hidden = |name| command.find_subcommand(name).is_some_and(clap::Command::is_hide_set);
    let is_word = |word: &str| word.bytes().all(|it| it.is_ascii_alphabetic() || it == b'-');
    for word in words.iter().filter(|word| is_word(word) && !Path::new(word).exists()) {
        let Some(near) = nearest(word, names()) else {
            // A torrent of a similar name is the better hint.
            if words.len() > 1 || similar(Path::new(word)).is_some() {
                continue;
            }
            return Err(Failure::bad_input(format!(
                "{word}: no such file, and no command: driver help lists them (driver catalogue \
                 get {word} asks a tracker for that name)"
            )));
        };
        let meant = if is_hidden(near) { format!("catalogue {near}") } else { near.to_owned() };
        return Err(Failure::usage(match near == word {
            true => format!("{word}: no such file; a command stands first: driver {meant} ..."),
            false => format!("{word}: no such file - did you mean the command {meant}?"),
        }));
    }
    Ok(())
}

/// The help of a command, by its words: `chunk get`. All of it when there are none.
///
/// # Errors
/// A usage error when there is no such command, or the help cannot be printed.
pub fn print_help(words: &[String], color: ColorChoice) -> Result<(), Failure> {
    let mut command = Cli::command().color(color);
    command.build();
    let mut about = &mut command;
    for word in words {
        let names = about.get_subcommands().map(clap::Command::get_name);
        let near = nearest(word, names).map(|near| format!(" - did you mean {near}?"));
        let shown = escape(word);
        let unknown = format!("there is no command {shown}{}", near.unwrap_or_default());
        about = about.find_subcommand_mut(word).ok_or_else(|| Failure::usage(unknown))?;
    }
    about
        .print_long_help()
        .map_err(|error| super::exit::from_io("the help cannot be written", &error))
}

/// What `--color` says, for what is printed before all options are read.
pub fn color_of(arguments: &[OsString]) -> ColorChoice {
    let mut words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
    let mut said = std::env::var("DRIVER_COLOR").ok();
    while let Some(word) = words.next().filter(|word| word != "--") {
        match word.strip_prefix("--color") {
            Some("") => said = words.next(),
            Some(rest) if rest.starts_with('=') => said = Some(rest[1..].to_owned()),
            _ => {}
        }
    }
    match said.as_deref() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_for_all_may_stand_before_the_command() {
        let moved = |line: &str| {
            let words = common_last(line.split(' ').map(OsString::from).collect());
            words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(moved("driver -vq --log f info x"), "driver info -vq --log f x");
        assert_eq!(moved("driver --color=never chunk get"), "driver chunk --color=never get");
        assert_eq!(
            moved("driver --interface tun0 --bind=::1 info x"),
            "driver info --interface tun0 --bind=::1 x"
        );
        for same in
            ["driver -v x.torrent", "driver -d info x", "driver", "driver -v", "driver - info"]
        {
            assert_eq!(moved(same), same);
        }
    }

    #[test]
    fn a_ratio_is_no_torrent() {
        let said =
            |line: &str| ratio_apart(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let words = Some("a ratio is written with an equals sign: --seed=2".to_owned());
        assert_eq!(said("driver --seed 2 x.torrent"), words);
        assert_eq!(said("driver get x --seed 2"), words);
        for fine in ["driver --seed=2 x", "driver --seed x", "driver seed 2", "driver -- --seed 2"]
        {
            assert_eq!(said(fine), None, "{fine}");
        }
    }

    #[test]
    fn slips_are_no_torrents() {
        let said = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            refuse_mistyped(&words).err().map(|failure| failure.message)
        };
        let inof = "inof: no such file - did you mean the command info?";
        assert_eq!(said("inof big.torrent").as_deref(), Some(inof));
        let later = "info: no such file; a command stands first: driver info ...";
        assert_eq!(said("big.torrent info").as_deref(), Some(later));
        let list = "lsit: no such file - did you mean the command catalogue list?";
        assert_eq!(said("lsit").as_deref(), Some(list));
        let share = "share: no such file; a command stands first: driver catalogue share ...";
        assert_eq!(said("big.torrent share").as_deref(), Some(share));
        let catalogue = "catalouge: no such file - did you mean the command catalogue?";
        assert_eq!(said("catalouge list").as_deref(), Some(catalogue));
        // Like no command.
        let none = "frobnicate: no such file, and no command: driver help lists them (driver \
                    catalogue get frobnicate asks a tracker for that name)";
        assert_eq!(said("frobnicate").as_deref(), Some(none));
        // A file, one of several names, and what looks like a file.
        for fine in ["commands", "debian big.torrent", "list.torrent", "./inof", "debian-13"] {
            assert_eq!(said(fine), None);
        }
    }

    #[test]
    fn colour_is_known_before_options_are_read() {
        let of = |line: &str| color_of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of("driver --color never x"), ColorChoice::Never);
        assert_eq!(of("driver info --color=always x"), ColorChoice::Always);
        assert_eq!(of("driver -- --color never"), ColorChoice::Auto);
    }
}
