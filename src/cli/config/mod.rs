//! Settings from everywhere: defaults, then the config file, then `DRIVER_*`, then flags.
//! Keys of the file are the long flags, and their values go through the same parsers, so
//! that a file cannot say anything that a flag could not.

mod environment;
mod errands;
mod keys;
mod rules;
mod shown;
mod suggested;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory as _, FromArgMatches as _};
use etcetera::BaseStrategy as _;

use crate::errands::Plan;
use crate::roster::rules::Book;

use super::args::Cli;
use super::argv::color_of;
use super::escape::escape;
use super::exit::Failure;

use environment::{blame_environment, deaf_to, without_used_environment};
use keys::{action_of, as_arguments, is_setting, take_off};
use shown::without_secrets;
pub use shown::{Kind, Setting};
use suggested::with_listed_names;

/// Settings that contradict each other, by the names of their arguments. The stronger source
/// decides; within one source nobody can know what is meant.
const CONTRARY: [(&str, &str); 8] = [
    ("quiet", "verbose"),
    ("check", "no_resume"),
    ("repl", "no_repl"),
    ("chunk_tracker", "chunk_config"),
    ("config", "no_config"),
    ("token", "token_file"),
    ("url", "socket"),
    ("allow_catalogue", "no_catalogue"),
];

/// Switches that turn off what is not there yet, and so are on whatever is said.
const NOT_THERE: [&str; 1] = ["no_utp"];

/// The settings that say what may leave, and how.
const WAYS: [&str; 6] = ["interface", "bind", "proxy", "proxy-peers", "dns", "ca"];
/// Commands that speak to others and read nothing else of the file: their `--config` is another
/// one.
const READ_WAYS_ALONE: [&[&str]; 1] = [&["chunk", "get"]];

/// The command line read, and what is needed to say where each setting came from.
pub struct Settings {
    /// All arguments.
    pub cli: Cli,
    /// clap's record of them.
    matches: ArgMatches,
    /// Settings that a flag turned off, or set aside by saying the contrary.
    overruled: Vec<String>,
    /// Keys that came from the config file, and that file.
    from_file: Vec<String>,
    file: Option<PathBuf>,
    /// Rules, schedules and room to stay free, which only the file says.
    pub book: Book,
    /// What a daemon does by itself, which only the file says.
    pub plan: Plan,
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
    /// When clap refuses the arguments, two of them contradict each other, or the config file is
    /// missing, unreadable or wrong.
    pub fn read(mut arguments: Vec<OsString>) -> Result<Self, Refusal> {
        let off = take_off(&mut arguments);
        let plain = Self::of(&arguments, off);
        let plain = plain.map_err(|error| {
            let error = without_used_environment(error, &arguments);
            let error = with_listed_names(error, &Cli::command());
            Refusal::Clap(blame_environment(error, &arguments))
        })?;
        let weaker = plain.contrary_to_flags();
        let plain = match weaker.is_empty() {
            true => plain,
            false => {
                let overruled = [plain.overruled, weaker].concat();
                Self::of(&arguments, overruled).map_err(Refusal::Clap)?
            }
        };
        plain.assert_agreement().map_err(Refusal::Clap)?;
        let read = match plain.config_file().map_err(Refusal::Failure)? {
            Some((path, text)) => plain.with_file(arguments, path, &text)?,
            None => plain,
        };
        read.assert_ways().map_err(Refusal::Clap)?;
        Ok(read)
    }

    /// Reads arguments and environment, but nothing of the environment for what is `overruled`.
    fn of(arguments: &[OsString], overruled: Vec<String>) -> Result<Self, clap::Error> {
        let command = deaf_to(&overruled).color(color_of(arguments));
        let matches = command.try_get_matches_from(arguments)?;
        let cli = Cli::from_arg_matches(&matches)?;
        let (from_file, book, plan) = (Vec::new(), Book::default(), Plan::default());
        Ok(Self { cli, matches, overruled, from_file, file: None, book, plan })
    }

    /// What the environment says against a flag.
    fn contrary_to_flags(&self) -> Vec<String> {
        use ValueSource::{CommandLine, EnvVariable};
        let both_ways = CONTRARY.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]);
        let weaker = both_ways.filter(|(one, other)| {
            (self.source(one), self.source(other)) == (Some(CommandLine), Some(EnvVariable))
        });
        weaker.map(|(_, other)| other.to_owned()).collect()
    }

    fn assert_agreement(&self) -> Result<(), clap::Error> {
        let is_set = |id: &str| self.source(id).is_some();
        match CONTRARY.iter().find(|(one, other)| is_set(one) && is_set(other)) {
            Some((one, other)) => {
                let (one, other) = (one.replace('_', "-"), other.replace('_', "-"));
                let why = format!("the argument '--{one}' cannot be used with '--{other}'");
                Err(Cli::command().error(ErrorKind::ArgumentConflict, why))
            }
            None => Ok(()),
        }
    }

    /// Peers that are to go through a proxy alone would go directly without one. Known only when
    /// all has been read: the proxy may stand in the file.
    fn assert_ways(&self) -> Result<(), clap::Error> {
        let ways = &self.cli.common.ways;
        if !ways.proxy_peers || ways.proxy.is_some() {
            return Ok(());
        }
        let why = "--proxy-peers sends peers through a proxy, and none is named: add --proxy URL";
        Err(Cli::command().error(ErrorKind::MissingRequiredArgument, why))
    }

    /// The file to read and its text; none when there is none and none was asked for, or the
    /// command has no settings.
    fn config_file(&self) -> Result<Option<(PathBuf, String)>, Failure> {
        let Some(asked_for) = self.file_asked_for() else { return Ok(None) };
        let must_be_there = asked_for.is_some();
        let Some(path) = asked_for.or_else(config_path) else { return Ok(None) };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_be_there => {
                Ok(None)
            }
            Err(error) => Err(bad(&path, &error.to_string())),
        }
    }

    /// The file that is to be read, none where that is the usual one; none at all when none is.
    fn file_asked_for(&self) -> Option<Option<PathBuf>> {
        if self.reads_ways_alone() {
            let of = |name| std::env::var_os(name).filter(|value| !value.is_empty());
            let is_off = of("DRIVER_NO_CONFIG").is_some_and(|value| is_yes(&value));
            return (!is_off).then(|| of("DRIVER_CONFIG").map(PathBuf::from));
        }
        let matches = self.of_command();
        let is_off = matches.try_get_one::<bool>("no_config").ok().flatten()?;
        (!is_off).then(|| matches.get_one::<PathBuf>("config").cloned())
    }

    fn reads_ways_alone(&self) -> bool {
        READ_WAYS_ALONE.contains(&self.command_words().as_slice())
    }

    /// Reads the arguments again with the file's settings in front, those left out that the
    /// environment or a flag decides, and those that the command does not have.
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
        let book = rules::book(&table).map_err(|why| refuse(&why))?;
        let plan = errands::plan(&table, text).map_err(|why| refuse(&why))?;
        let is_flag = |key: &str| !rules::KEYS.contains(&key) && !errands::KEYS.contains(&key);
        for (key, value) in table.iter().filter(|(key, _)| is_flag(key)) {
            let action = action_of(key).map_err(|why| refuse(&why))?;
            let words = match value {
                // What needs no value on the command line needs none here.
                toml::Value::Boolean(true) if key == "seed" => vec!["--seed".into()],
                toml::Value::Boolean(false) if key == "seed" => Vec::new(),
                _ => as_arguments(key, value, &action).map_err(|why| refuse(&why))?,
            };
            if !words.is_empty() && self.is_known(key) && !self.decided(key) {
                from_file.push(key.clone());
                inserted.extend(words);
            }
        }
        // Behind the program's name, or behind the command's, which may be two words.
        let at = (1 + self.command_words().len()).min(arguments.len());
        arguments.splice(at..at, inserted);
        let read = Self::of(&arguments, self.overruled);
        let read =
            read.and_then(|read| read.assert_agreement().map(|()| read)).map_err(|error| {
                refuse(
                    error
                        .to_string()
                        .lines()
                        .next()
                        .unwrap_or("wrong")
                        .trim_start_matches("error: "),
                )
            })?;
        Ok(Self { from_file, file: Some(path), book, plan, ..read })
    }

    fn of_command(&self) -> &ArgMatches {
        let mut matches = &self.matches;
        while let Some((_, inner)) = matches.subcommand() {
            matches = inner;
        }
        matches
    }

    /// The command: `dht`, `get`.
    fn command_words(&self) -> Vec<&str> {
        let (mut words, mut matches) = (Vec::new(), &self.matches);
        while let Some((word, inner)) = matches.subcommand() {
            words.push(word);
            matches = inner;
        }
        words
    }

    /// Where a setting came from; none when it is not set, or switched off.
    fn source(&self, id: &str) -> Option<ValueSource> {
        let matches = self.of_command();
        let is_off = |id: &str| {
            let switch = matches.try_get_one::<bool>(id).ok().flatten();
            let count = matches.try_get_one::<u8>(id).ok().flatten();
            switch == Some(&false) || count == Some(&0)
        };
        let is_there = matches.try_contains_id(id).unwrap_or(false) && !is_off(id);
        let source = is_there.then(|| matches.value_source(id))?;
        source.filter(|source| *source != ValueSource::DefaultValue)
    }

    /// Does the command have this setting? All that may stand in a file can be in the
    /// environment, too.
    fn is_known(&self, key: &str) -> bool {
        if self.reads_ways_alone() {
            return WAYS.contains(&key);
        }
        let command = Cli::command();
        let is_it = |arg: &clap::Arg| arg.get_long() == Some(key) && arg.get_env().is_some();
        let words = self.command_words();
        let own = words.iter().try_fold(&command, |own, name| own.find_subcommand(name));
        match own {
            Some(own) if !words.is_empty() => {
                let global = command.get_arguments().filter(|arg| arg.is_global_set());
                own.get_arguments().chain(global).any(is_it)
            }
            _ => true,
        }
    }

    /// Does a flag or the environment decide this setting, or say the contrary?
    fn decided(&self, key: &str) -> bool {
        use ValueSource::{CommandLine, EnvVariable};
        let id = key.replace('-', "_");
        let source = self.of_command().value_source(&id);
        let contrary = CONTRARY.iter().find_map(|(one, other)| match id.as_str() {
            id if id == *one => Some(*other),
            id if id == *other => Some(*one),
            _ => None,
        });
        matches!(source, Some(CommandLine | EnvVariable))
            || self.overruled.contains(&id)
            || contrary.is_some_and(|contrary| self.source(contrary).is_some())
    }

    /// The config file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// One line for every setting: its value, and where it came from.
    pub fn lines(&self) -> Vec<String> {
        let line = |it: &Setting| format!("{:<16}  {:<20}  {}", it.key, it.value, it.origin);
        self.settings().iter().map(line).collect()
    }

    /// Every setting.
    pub fn settings(&self) -> Vec<Setting> {
        let command = Cli::command();
        let settings = command.get_arguments().filter(|arg| is_setting(arg.get_id().as_str()));
        settings.map(|arg| self.setting(arg)).collect()
    }

    fn setting(&self, arg: &clap::Arg) -> Setting {
        let id = arg.get_id().as_str();
        let key = arg.get_long().unwrap_or(id);
        let raw = self.of_command().get_raw(id);
        let values: Vec<String> = raw
            .into_iter()
            .flatten()
            .map(|value| escape(&value.to_string_lossy()))
            .map(|value| without_secrets(id, value))
            .filter(|value| !value.is_empty())
            .collect();
        let value = match (values.is_empty(), arg.get_action()) {
            (_, ArgAction::SetTrue) => self.of_command().get_flag(id).to_string(),
            (_, ArgAction::Count) => self.of_command().get_count(id).to_string(),
            (true, _) => "-".to_owned(),
            (false, _) => values.join(" "),
        };
        let origin = match (self.of_command().value_source(id), &self.file) {
            _ if self.overruled.iter().any(|it| it == id) => "overruled by a flag".to_owned(),
            (_, Some(file)) if self.from_file.iter().any(|from| from == key) => {
                escape(&file.display().to_string())
            }
            (Some(ValueSource::CommandLine), _) => "command line".to_owned(),
            (Some(ValueSource::EnvVariable), _) => {
                format!("environment, DRIVER_{}", id.to_uppercase())
            }
            _ => "default".to_owned(),
        };
        let (value, origin) = match NOT_THERE.contains(&id) {
            true => ("true".to_owned(), "always: it is not there yet".to_owned()),
            false => (value, origin),
        };
        Setting { key: key.to_owned(), value, kind: Kind::of(arg), origin }
    }
}

/// Does a variable say yes? In doubt it does not: then the file is read, and its rules hold.
fn is_yes(value: &std::ffi::OsStr) -> bool {
    let value = value.to_str().map(str::to_ascii_lowercase);
    matches!(value.as_deref(), Some("y" | "yes" | "t" | "true" | "on" | "1"))
}

fn bad(path: &Path, why: &str) -> Failure {
    let path = escape(&path.display().to_string());
    Failure::bad_input(format!("config file {path}: {}", escape(why)))
}

/// `$XDG_CONFIG_HOME/driver/config.toml`; none without a home directory.
pub fn config_path() -> Option<PathBuf> {
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
    use super::environment::deaf_where;
    use super::*;
    use crate::cli::args::{CatalogueCommand, Command};

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
        assert_eq!(options.tracker, ["http://x/announce", "http://y/announce"]);
        let lines = settings.lines();
        let line = |key: &str| lines.iter().find(|line| line.starts_with(key)).unwrap().clone();
        assert!(line("dir ").starts_with("dir               /a                    /"));
        assert!(line("dir ").ends_with("c.toml"));
        assert_eq!(line("port "), "port              1                     command line");
        assert_eq!(line("max-peers"), "max-peers         80                    default");
    }

    #[test]
    fn a_tip_names_an_option_of_the_help() {
        let words = ["driver", "--limit", "1M", "t"].map(OsString::from).to_vec();
        let Err(Refusal::Clap(refused)) = Settings::read(words) else { panic!() };
        let said = refused.to_string();
        assert!(said.contains("'--download-limit'") && !said.contains("limit-rate"), "{said}");
    }

    #[test]
    fn what_is_not_there_yet_is_shown_as_off() {
        for line in ["driver config", "driver config --no-utp"] {
            let settings = read(line, "").ok().unwrap().settings();
            let shown = settings.into_iter().find(|it| it.key == "no-utp").unwrap();
            assert_eq!((&*shown.value, shown.json()), ("true", serde_json::Value::Bool(true)));
            assert_eq!(shown.origin, "always: it is not there yet");
        }
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
    fn a_flag_beats_the_file_where_they_contradict_each_other() {
        let settings = read("driver -v t", "quiet = true\ncheck = true").ok().unwrap();
        assert_eq!((settings.cli.common.quiet, settings.cli.common.verbose), (false, 1));
        assert!(settings.cli.options.check);
        let settings = read("driver --no-resume --repl t", "check = true\nno-repl = true");
        let options = settings.ok().unwrap().cli.options;
        assert_eq!((options.check, options.no_resume), (false, true));
        assert_eq!((options.repl, options.no_repl), (true, false));
        let said = |line, config| read(line, config).err().unwrap();
        let twice = "the argument '--check' cannot be used with '--no-resume'";
        assert_eq!(
            said("driver t", "check = true\nno-resume = true"),
            format!("config file FILE: {twice}")
        );
        assert!(said("driver --check --no-resume t", "").contains(twice));
        assert!(said("driver tracker --token x --token-file y", "").contains("'--token-file'"));
        assert!(said("driver --no-config t", "").contains("'--config' cannot be used with"));
    }

    #[test]
    fn switches_of_the_file_can_be_turned_off() {
        let config = "sequential = true\ncheck = true\nexit-on-finish = true";
        let settings = read("driver --sequential=false --check=off --no-repl=yes t", config);
        let settings = settings.ok().unwrap();
        let options = &settings.cli.options;
        assert!(!options.sequential && !options.check && options.no_repl);
        assert!(options.exit_on_finish);
        let line = settings.lines().into_iter().find(|line| line.starts_with("check"));
        assert!(line.unwrap().ends_with("  overruled by a flag"));
        let off = |line: &str| {
            let mut words = line.split(' ').map(OsString::from).collect();
            (take_off(&mut words), words.len())
        };
        assert_eq!(off("driver --check=false -- --sequential=false"), (vec!["check".into()], 3));
        assert_eq!(off("driver --check=maybe --dir=false"), (vec![], 3));
    }

    #[test]
    fn environment_is_not_heard_where_a_flag_says_the_contrary() {
        let of = |overruled: &[&str]| {
            let overruled: Vec<String> = overruled.iter().map(ToString::to_string).collect();
            deaf_to(&overruled)
        };
        let env = |command: &clap::Command, id: &str| {
            let found = command.get_arguments().find(|arg| arg.get_id() == id).unwrap();
            found.get_env().is_some()
        };
        let command = of(&["check", "token"]);
        assert_eq!((env(&command, "check"), env(&command, "no_resume")), (false, true));
        let tracker = command.find_subcommand("tracker").unwrap();
        assert_eq!((env(tracker, "token"), env(tracker, "token_file")), (false, true));
        assert!(!env(command.find_subcommand("seed").unwrap(), "check"));
        let command = deaf_where(&[], &|name| name == "DRIVER_NO_LSD");
        assert_eq!((env(&command, "no_lsd"), env(&command, "no_pex")), (false, true));
        let seed = command.find_subcommand("seed").unwrap();
        assert_eq!((env(seed, "no_lsd"), env(seed, "no_pex")), (false, true));
    }

    #[test]
    fn other_commands_take_of_the_file_what_they_have() {
        let config = "dir = '/a'\ntracker = ['http://x']\nquiet = true\nport = 7000\njson = true";
        let settings = read("driver verify t.torrent", config).ok().unwrap();
        assert!(settings.cli.common.quiet);
        let Some(Command::Verify { place: None, dir, json: false, .. }) = settings.cli.command
        else {
            panic!()
        };
        assert_eq!(dir, Path::new("/a"));
        let settings = read("driver verify t.torrent b", config).ok().unwrap();
        let Some(Command::Verify { place: Some(_), .. }) = settings.cli.command else { panic!() };
        let of = |line| read(line, config).ok().unwrap().cli.command;
        for command in [of("driver list"), of("driver catalogue list")] {
            let (Some(Command::Alone(command)) | Some(Command::Catalogue { command })) = command
            else {
                panic!()
            };
            let CatalogueCommand::List { tracker, .. } = command else { panic!() };
            assert_eq!(tracker.tracker, ["http://x"]);
        }
        let settings = read("driver create x", config).ok().unwrap();
        assert!(settings.cli.common.quiet);
        assert!(read("driver tracker", config).ok().unwrap().cli.common.quiet);
        assert!(read("driver tracker", "prot = 1").is_err());
    }

    #[test]
    fn peers_alone_go_through_a_proxy_only_if_there_is_one() {
        let said = |line, config| read(line, config).err().unwrap();
        let why = "--proxy-peers sends peers through a proxy, and none is named";
        assert!(said("driver --proxy-peers t", "").contains(why));
        assert!(said("driver t", "proxy-peers = true").contains(why));
        assert!(said("driver tracker --proxy-peers", "").contains(why));
        let ways = |line, config| read(line, config).ok().unwrap().cli.common.ways;
        let named = ways("driver --proxy-peers t", "proxy = 'socks5://192.0.2.1:1080'");
        assert!(named.proxy_peers && named.proxy.is_some());
        assert!(!ways("driver --proxy-peers=off t", "proxy-peers = true").proxy_peers);
    }

    #[test]
    fn what_may_leave_is_read_by_a_command_whose_config_is_another_one() {
        let words: Vec<OsString> =
            "driver chunk get --config c".split(' ').map(OsString::from).collect();
        let of = |config: &str| {
            let plain = Settings::of(&words, Vec::new()).ok().unwrap();
            assert!(plain.file_asked_for().is_some());
            plain.with_file(words.clone(), "FILE".into(), config).ok().unwrap().cli
        };
        let config = "interface = 'tun0'\ndns = '10.8.0.1'\nquiet = true\nport = 7000";
        let cli = of(config);
        assert_eq!(cli.common.ways.interface.as_deref(), Some("tun0"));
        assert_eq!(cli.common.ways.dns, "10.8.0.1:53".parse().ok());
        assert!(!cli.common.quiet, "nothing else of it");
        let check = "driver chunk check --config c".split(' ').map(OsString::from);
        let check = Settings::of(&check.collect::<Vec<_>>(), Vec::new()).ok().unwrap();
        assert_eq!(check.file_asked_for(), None, "it speaks to nobody");
    }

    #[test]
    fn wrong_files_say_what_is_wrong() {
        let said = |config| read("driver t", config).err().unwrap();
        assert_eq!(
            said("prot = 1"),
            "config file FILE: unknown setting \"prot\" - did you mean \"port\"?"
        );
        assert_eq!(
            read("driver t", "seed = true").ok().unwrap().cli.options.seed,
            Some(f64::INFINITY)
        );
        assert_eq!(read("driver t", "seed = false").ok().unwrap().cli.options.seed, None);
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
