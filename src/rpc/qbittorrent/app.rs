//! `app/*`, and what of other parts is not here: answers of an original that has none of it.

use serde_json::{Value, json};
use tracing::info;

use crate::api::Request;
use crate::rpc::bounded;

use super::desk::Desk;
use super::form::Form;
use super::preferences;
use super::said::{Fault, Reply, Said};

/// The version that it says it is.
const VERSION: &str = "v5.1.4";
/// The version of this dialect: the newest that all programs know.
pub(super) const API_VERSION: &str = "2.11.4";

/// The answer to `app/ACTION`.
///
/// # Errors
/// There is no such action, or it is refused.
pub(super) async fn answer(desk: &Desk, action: &str, form: &Form) -> Reply {
    match action {
        "version" => Ok(Said::text(VERSION)),
        "webapiVersion" => Ok(Said::text(API_VERSION)),
        "buildInfo" => Ok(Said::Json(json!({
            "bitness": usize::BITS,
            "boost": "",
            "libtorrent": concat!("pigeon ", env!("CARGO_PKG_VERSION")),
            "openssl": "",
            "platform": std::env::consts::OS,
            "qt": "",
            "zlib": "",
        }))),
        "defaultSavePath" => {
            let book = desk.shelf.book().await;
            desk.dir(&book).await.map(Said::Text)
        }
        "preferences" => {
            let (standing, book) = (desk.standing().await?, desk.shelf.book().await);
            Ok(Said::Json(preferences::all(&standing, &book)))
        }
        "setPreferences" => set_preferences(desk, form).await,
        "cookies"
        | "networkInterfaceList"
        | "networkInterfaceAddressList"
        | "getDirectoryContent" => Ok(Said::Json(json!([]))),
        "shutdown" => {
            desk.closes.notify_one();
            Ok(Said::DONE)
        }
        "setCookies" | "sendTestEmail" => Err(Fault::conflict("there is no such thing here")),
        _ => Err(Fault::not_found()),
    }
}

async fn set_preferences(desk: &Desk, form: &Form) -> Reply {
    let text = form.value("json").ok_or_else(|| Fault::bad("Bad Request"))?;
    // What is no JSON changes nothing, as in the original.
    let Ok(Value::Object(given)) = bounded::read(text.as_bytes()) else {
        return Ok(Said::DONE);
    };
    let book = desk.shelf.book().await;
    let set = preferences::set(given, &book);
    if !set.idle.is_empty() {
        let keys = set.idle.join(", ");
        info!(%keys, "preferences are of no effect here");
    }
    if !set.kept.is_empty() {
        desk.shelf.change(move |book| preferences::keep(set.kept, book)).await?;
    }
    if set.patch != Default::default() {
        desk.order(Request::SetSession(set.patch)).await?;
        desk.journal.restated().await;
    }
    Ok(Said::DONE)
}

/// The answer where nothing is here: no feeds, no searches, no log of its own.
///
/// # Errors
/// 409 for what would need them, 404 for what nobody has.
pub(super) fn absent(path: &str, is_write: bool) -> Reply {
    match path {
        "log/main" | "log/peers" | "search/plugins" | "search/status" | "torrentcreator/status" => {
            Ok(Said::Json(json!([])))
        }
        "rss/items" | "rss/rules" | "rss/matchingArticles" => Ok(Said::Json(json!({}))),
        _ if is_write => Err(Fault::conflict("there is no such thing here: use a program for it")),
        _ => Err(Fault::not_found()),
    }
}
