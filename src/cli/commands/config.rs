//! `driver config`: every setting, its value, and where that came from; which files are used; and
//! what the machine brings along: its memory, and how it hashes.

use serde_json::{Value, json};

use crate::base::digest::{FORCED_BY, forced, sha1_plan, sha256_plan};
use crate::cli::config::{Settings, config_path, state_dir};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::memory::told;
use crate::cli::out;
use crate::cli::print::{net_lines, router_lines};
use crate::net::egress::Purpose;
use crate::net::portmap;

/// Prints the effective settings, as a table or as one JSON object.
///
/// # Errors
/// When more memory is asked for than there is.
pub fn run(settings: &Settings, is_json: bool) -> Outcome {
    let memory = told(&settings.cli.common)?;
    let egress = settings.cli.common.ways.egress();
    let off = egress.off(Purpose::PortMap).is_some();
    let routers = match settings.cli.options.no_portmap {
        true => vec!["no router is asked to open ports (--no-portmap)".to_owned()],
        false if off => Vec::new(),
        false => router_lines(&portmap::ways(&egress)),
    };
    let net = net_lines(&egress, None, &routers);
    let file = settings.file().map(ToOwned::to_owned).or_else(config_path);
    let state = state_dir()?;
    if is_json {
        let lines = settings.settings().into_iter();
        let each = lines.map(|it| {
            let value = it.json();
            (it.key, json!({ "value": value, "from": it.origin }))
        });
        out::deliver_json(&json!({
            "config_file": file.map(|path| path.to_string_lossy().into_owned()),
            "config_file_is_read": settings.file().is_some(),
            "state_dir": state.to_string_lossy(),
            "net": net,
            "settings": each.collect::<serde_json::Map<String, Value>>(),
        }))?;
        return Ok(Exit::Done);
    }
    let mut table = "SETTING           VALUE                 FROM\n".to_owned();
    for line in settings.lines() {
        table += &line;
        table.push('\n');
    }
    let shown = |path: &std::path::Path| escape(&path.display().to_string());
    let is_read = if settings.file().is_some() { "" } else { " (not there, or not read)" };
    let file = file.map_or("none: there is no home directory".to_owned(), |file| shown(&file));
    table += &format!(
        "\n{memory}\n{}\n{}\nconfig file  {file}{is_read}\nstate        {}\nlog          {}\nhistory      \
         {}\nXDG_CONFIG_HOME and XDG_STATE_HOME move them.\n",
        hashing(),
        net.join("\n"),
        shown(&state),
        shown(&state.join("driver.log")),
        shown(&state.join("history")),
    );
    out::deliver(&out::wrapped(&table))?;
    Ok(Exit::Done)
}

/// How the machine hashes, a line for each algorithm.
fn hashing() -> String {
    let asked_for = match forced() {
        Ok(Some(engine)) => format!(" ({FORCED_BY}={})", engine.key()),
        Ok(None) | Err(_) => String::new(),
    };
    let (sha1, sha256) = (sha1_plan(), sha256_plan());
    format!("sha-1   {sha1}{asked_for}\nsha-256 {sha256}{asked_for}\n")
}
