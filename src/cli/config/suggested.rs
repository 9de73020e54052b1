//! Suggestions for options that are mistyped, in the words of the help: aliases for habits from
//! elsewhere are taken, and never named.

use clap::Command;
use clap::error::{ContextKind, ContextValue};

/// A refusal by this command whose suggestion is an option that its help lists.
pub(super) fn with_listed_names(mut error: clap::Error, command: &Command) -> clap::Error {
    if let Some(ContextValue::String(suggested)) = error.get(ContextKind::SuggestedArg)
        && let Some(listed) = listed_name(suggested, command)
    {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(listed));
    }
    error
}

/// What the help calls the option of this alias; none where it has that name.
fn listed_name(flag: &str, command: &Command) -> Option<String> {
    let alias = flag.strip_prefix("--")?;
    let all = std::iter::once(command).chain(command.get_subcommands());
    let mut arguments = all.flat_map(clap::Command::get_arguments);
    let is_it =
        |arg: &&clap::Arg| arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&alias));
    Some(format!("--{}", arguments.find(is_it)?.get_long()?))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn an_alias_is_not_what_is_suggested() {
        let limit = || Arg::new("d").long("download-limit").alias("limit-rate");
        let command = Command::new("x").arg(limit()).subcommand(Command::new("y").arg(limit()));
        for words in [&["x", "--limit", "1M"][..], &["x", "y", "--limit", "1M"]] {
            let refused = command.clone().try_get_matches_from(words).unwrap_err();
            assert!(refused.to_string().contains("'--limit-rate'"), "{refused}");
            let said = with_listed_names(refused, &command).to_string();
            assert!(said.contains("'--download-limit'") && !said.contains("limit-rate"), "{said}");
        }
        let near = command.clone().try_get_matches_from(["x", "--download-limi"]).unwrap_err();
        assert!(with_listed_names(near, &command).to_string().contains("'--download-limit'"));
    }
}
