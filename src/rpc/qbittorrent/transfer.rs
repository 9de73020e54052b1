//! `transfer/*`: what all torrents together do and may do.

use crate::api::{Request, SessionPatch};

use super::desk::Desk;
use super::form::Form;
use super::mapping::whole;
use super::said::{Fault, Reply, Said};
use super::standing;

/// The answer to `transfer/ACTION`.
///
/// # Errors
/// There is no such action, or it is refused.
pub(super) async fn answer(desk: &Desk, action: &str, form: &Form) -> Reply {
    match action {
        "info" => Ok(Said::Json(standing::transfer(&desk.journal.session().await?))),
        "speedLimitsMode" => Ok(Said::text(u8::from(desk.standing().await?.alternative))),
        "toggleSpeedLimitsMode" => {
            let is_so = desk.standing().await?.alternative;
            set(desk, SessionPatch { alternative: Some(!is_so), ..SessionPatch::default() }).await
        }
        "setSpeedLimitsMode" => match form.number::<u8>("mode") {
            Some(mode @ 0..=1) => {
                let alternative = Some(mode == 1);
                set(desk, SessionPatch { alternative, ..SessionPatch::default() }).await
            }
            _ => Err(Fault::bad("Bad Request")),
        },
        "downloadLimit" => {
            let standing = desk.standing().await?;
            Ok(Said::text(standing.limits_now.down.map_or(0, whole)))
        }
        "uploadLimit" => {
            let standing = desk.standing().await?;
            Ok(Said::text(standing.limits_now.up.map_or(0, whole)))
        }
        "setDownloadLimit" => {
            let (limit, is_other) = (limit(form)?, desk.standing().await?.alternative);
            let patch = match is_other {
                true => SessionPatch { alternative_down: limit, ..SessionPatch::default() },
                false => SessionPatch { limit_down: limit, ..SessionPatch::default() },
            };
            set(desk, patch).await
        }
        "setUploadLimit" => {
            let (limit, is_other) = (limit(form)?, desk.standing().await?.alternative);
            let patch = match is_other {
                true => SessionPatch { alternative_up: limit, ..SessionPatch::default() },
                false => SessionPatch { limit_up: limit, ..SessionPatch::default() },
            };
            set(desk, patch).await
        }
        "banPeers" => Err(Fault::conflict("nobody is banned by hand: --blocklist names networks")),
        _ => Err(Fault::not_found()),
    }
}

/// A limit; none is 0, or less.
fn limit(form: &Form) -> Result<Option<u64>, Fault> {
    let limit = form.number::<i64>("limit").ok_or_else(|| Fault::bad("Bad Request"))?;
    Ok(Some(u64::try_from(limit).unwrap_or_default()))
}

async fn set(desk: &Desk, patch: SessionPatch) -> Reply {
    desk.order(Request::SetSession(patch)).await?;
    desk.journal.restated().await;
    Ok(Said::DONE)
}
