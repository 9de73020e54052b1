//! Settings from everywhere: defaults, then the config file, then `DRIVER_*`, then flags.
//! Keys of the file are the long flags, and their values go through the same parsers, so
//! that a file cannot say anything that a flag could not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory as _, FromArgMatches as _};
use etcetera::BaseStrategy as _;

use super::args::{Cli, Command, Options};
use super::escape::escape;
use super::exit::Failure;

/// The command line read, and what is needed to say where each setting came from.
pub struct Settings {
    /// All arguments.
    pub cli: Cli,
    /// clap's record of them.
    matches: ArgMatches,
    /// Keys that came from the config file, and that file.
    from_file: Vec<String>,
    file: Option<PathBuf>,
}

/// Why there are no settings.
pub enum Refusal {
    /// Help, version or a usage error, in clap's own words.
    Clap(clap::Error),
    /// The config file is unusable.
    Failure(Failure),
}

impl Settings {
    /// Reads `arguments` (the program's name first), the environment and the config file.
    ///
    /// # Errors
    /// When clap refuses the arguments, or the config file is missing, unreadable or wrong.
    pub fn read(arguments: Vec<OsString>) -> Result<Self, Refusal> {
        let matches = Cli::command().try_get_matches_from(&arguments).map_err(Refusal::Clap)?;
        let cli = Cli::from_arg_matches(&matches).map_err(Refusal::Clap)?;
        let plain = Self { cli, matches, from_file: Vec::new(), file: None };
        match plain.config_file().map_err(Refusal::Failure)? {
            Some((path, text)) => plain.with_file(arguments, path, &text),
            None => Ok(plain),
        }
    }

    /// Download options, and with them the config file, as far as the command takes them.
    fn options(&self) -> Option<&Options> {
        match &self.cli.command {
            None => Some(&self.cli.options),
            Some(
                Command::Download { options, .. }
                | Command::Get { options, .. }
                | Command::Menu { options }
                | Command::Seed { options, .. }
                | Command::Config { options },
            ) => Some(options),
            Some(Command::Share(share)) => Some(&share.options),
            Some(_) => None,
        }
    }

    /// The file to read and its text; none when there is none and none was asked for.
    fn config_file(&self) -> Result<Option<(PathBuf, String)>, Failure> {
        let Some(options) = self.options().filter(|options| !options.no_config) else {
            return Ok(None);
        };
        let asked_for = options.config.is_some();
        let Some(path) = options.config.clone().or_else(default_file) else { return Ok(None) };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => Ok(None),
            Err(error) => Err(bad(&path, &error.to_string())),
        }
    }

    /// Reads the arguments again with the file's settings in front, those left out that the
    /// environment or a flag decides.
    fn with_file(
        self,
        mut arguments: Vec<OsString>,
        path: PathBuf,
        text: &str,
    ) -> Result<Self, Refusal> {
        let refuse = |why: &str| Refusal::Failure(bad(&path, why));
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            refuse(error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ").as_str())
        })?;
        let (mut inserted, mut from_file) = (Vec::new(), Vec::new());
        for (key, value) in &table {
            let action = self.action_of(key).map_err(|why| refuse(&why))?;
            if self.decided(key) {
                continue;
            }
            let words = as_arguments(key, value, &action).map_err(|why| refuse(&why))?;
            if !words.is_empty() {
                from_file.push(key.clone());
                inserted.extend(words);
            }
        }
        // Behind the program's name, or behind the command's.
        let at = if self.matches.subcommand_name().is_some() { 2 } else { 1 };
        let at = at.min(arguments.len());
        arguments.splice(at..at, inserted);
        let matches = Cli::command().try_get_matches_from(&arguments).map_err(|error| {
            refuse(
                error.to_string().lines().next().unwrap_or("wrong").trim_start_matches("error: "),
            )
        })?;
        let cli = Cli::from_arg_matches(&matches).map_err(Refusal::Clap)?;
        Ok(Self { cli, matches, from_file, file: Some(path) })
    }

    /// What the long flag `key` does with values; an error for unknown keys.
    fn action_of(&self, key: &str) -> Result<ArgAction, String> {
        let command = Cli::command();
        let known = || command.get_arguments().filter(|arg| is_setting(arg.get_id().as_str()));
        let found = known().find(|arg| arg.get_long() == Some(key));
        found.map(|arg| arg.get_action().clone()).ok_or_else(|| {
            let names = known().filter_map(clap::Arg::get_long);
            let near = super::print::nearest(key, names);
            let hint = near.map(|near| format!(" - did you mean {near:?}?")).unwrap_or_default();
            format!("unknown setting {:?}{hint}", escape(key))
        })
    }

    fn of_command(&self) -> &ArgMatches {
        self.matches.subcommand().map_or(&self.matches, |(_, matches)| matches)
    }

    /// Does a flag or the environment decide this setting?
    fn decided(&self, key: &str) -> bool {
        let id = key.replace('-', "_");
        let source = self.of_command().value_source(&id);
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    }

    /// One line for every setting: its value, and where it came from.
    pub fn lines(&self) -> Vec<String> {
        let command = Cli::command();
        let settings = command.get_arguments().filter(|arg| is_setting(arg.get_id().as_str()));
        settings.map(|arg| self.line(arg)).collect()
    }

    fn line(&self, arg: &clap::Arg) -> String {
        let id = arg.get_id().as_str();
        let key = arg.get_long().unwrap_or(id);
        let raw = self.of_command().get_raw(id);
        let values: Vec<String> = raw
            .into_iter()
            .flatten()
            .map(|value| escape(&value.to_string_lossy()))
            .filter(|value| !value.is_empty())
            .collect();
        let value = match (values.is_empty(), arg.get_action()) {
            (_, ArgAction::SetTrue) => self.of_command().get_flag(id).to_string(),
            (_, ArgAction::Count) => self.of_command().get_count(id).to_string(),
            (true, _) => "-".to_owned(),
            (false, _) => values.join(" "),
        };
        let origin = match (self.of_command().value_source(id), &self.file) {
            (_, Some(file)) if self.from_file.iter().any(|from| from == key) => {
                escape(&file.display().to_string())
            }
            (Some(ValueSource::CommandLine), _) => "command line".to_owned(),
            (Some(ValueSource::EnvVariable), _) => {
                format!("environment, DRIVER_{}", id.to_uppercase())
            }
            _ => "default".to_owned(),
        };
        format!("{key:<16}  {value:<20}  {origin}")
    }
}

/// Settings are all options but those that choose the file or ask for help.
fn is_setting(id: &str) -> bool {
    !matches!(id, "torrents" | "config" | "no_config" | "find_port" | "help" | "version")
}

fn as_arguments(
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

fn bad(path: &Path, why: &str) -> Failure {
    let path = escape(&path.display().to_string());
    Failure::bad_input(format!("config file {path}: {}", escape(why)))
}

/// `$XDG_CONFIG_HOME/driver/config.toml`.
fn default_file() -> Option<PathBuf> {
    Some(etcetera::base_strategy::Xdg::new().ok()?.config_dir().join("driver/config.toml"))
}

/// `$XDG_STATE_HOME/driver`: resume data, history and log.
///
/// # Errors
/// When there is no home directory.
pub fn state_dir() -> Result<PathBuf, Failure> {
    let strategy = etcetera::base_strategy::Xdg::new()
        .map_err(|error| Failure::bad_input(format!("no home directory: {error}")))?;
    let state = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Ok(state.join("driver"))
}

/// The state directory, where there is one: those who only look make none.
pub fn existing_state_dir() -> Option<PathBuf> {
    state_dir().ok().filter(|dir| dir.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, config: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, config).unwrap();
        let mut words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        words.extend(["--config".into(), path.clone().into()]);
        Settings::read(words).map_err(|refusal| match refusal {
            Refusal::Clap(error) => error.to_string(),
            Refusal::Failure(failure) => {
                failure.message.replace(&path.display().to_string(), "FILE")
            }
        })
    }

    #[test]
    fn the_file_beats_defaults_and_flags_beat_the_file() {
        let config =
            "dir = '/a'\nport = 7000\nsequential = true\ntracker = ['http://x', 'http://y']";
        let settings = read("driver -p 1 t.torrent", config).ok().unwrap();
        let options = &settings.cli.options;
        assert_eq!((&options.dir[..], options.port), (&["/a".into()][..], Some(1)));
        assert!(options.sequential);
        assert_eq!(options.tracker, ["http://x", "http://y"]);
        let lines = settings.lines();
        let line = |key: &str| lines.iter().find(|line| line.starts_with(key)).unwrap().clone();
        assert!(line("dir ").starts_with("dir               /a                    /"));
        assert!(line("dir ").ends_with("c.toml"));
        assert_eq!(line("port "), "port              1                     command line");
        assert_eq!(line("max-peers"), "max-peers         80                    default");
    }

    #[test]
    fn commands_with_options_read_the_file_too() {
        let settings = read("driver config --max-peers 9", "allocate = 'none'\nverbose = 2");
        let lines = settings.ok().unwrap().lines();
        assert!(lines.iter().any(|line| line.starts_with("allocate          none  ")));
        assert!(lines.iter().any(|line| line.starts_with("verbose           2  ")));
        assert!(lines.contains(&"max-peers         9                     command line".to_owned()));
    }

    #[test]
    fn wrong_files_say_what_is_wrong() {
        let said = |config| read("driver t", config).err().unwrap();
        assert_eq!(
            said("prot = 1"),
            "config file FILE: unknown setting \"prot\" - did you mean \"port\"?"
        );
        assert_eq!(said("sequential = 3"), "config file FILE: sequential is true or false");
        assert!(said("port = 99999").starts_with("config file FILE: invalid value '99999'"));
        assert!(said("port = ").starts_with("config file FILE: TOML parse error at line 1"));
    }

    #[test]
    fn fuzz_settings() {
        use crate::cli::values;
        let kinds = [ArgAction::SetTrue, ArgAction::Count, ArgAction::Append, ArgAction::Set];
        crate::fuzz::run("config_file", |bytes| {
            let text = String::from_utf8_lossy(bytes);
            for (key, value) in text.parse::<toml::Table>().unwrap_or_default() {
                for kind in &kinds {
                    let words = as_arguments(&key, &value, kind).unwrap_or_default();
                    let flag = format!("--{key}");
                    let is_ours = |word: &OsString| word.to_string_lossy().starts_with(&flag);
                    assert!(words.iter().all(is_ours), "a value cannot become another flag");
                }
            }
            for word in text.split(['"', '\'', ' ', '\n']).chain([&*text]) {
                let _ = (values::rate(word), values::ratio(word), values::size(word));
                let _ = (values::duration(word), values::listen(word));
                let _ = values::ranges(word).map(|ranges| (ranges.contains(7), ranges.beyond(7)));
            }
        });
    }
}
