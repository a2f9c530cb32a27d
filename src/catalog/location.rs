//! Where a catalogue may point: to files in its own folder or below, and to the web.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorCode, Result};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a file is that a catalogue names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In the catalogue's folder or below: the names of folders and, last, of the file.
    Beside(Vec<String>),
    /// Anywhere, by http or https.
    Web,
}

impl Location {
    /// Where a URL leads.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`] for every URL that is neither relative to a place within the catalogue's folder nor http
    /// nor https, or that carries a name and password.
    pub fn of(url: &str) -> Result<Location> {
        let refuse = |problem: &str, expected: &str| {
            Err(Error::new(ErrorCode::InvalidFile, format!("url {url:?}"), problem, expected))
        };
        if url.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#')
        {
            return refuse(
                "it is no URL of a file",
                "ASCII without spaces, backslashes and #, the rest as %XX",
            );
        }
        let path = &url[..url.find('?').unwrap_or(url.len())];
        let first = &path[..path.find('/').unwrap_or(path.len())];
        if let Some((scheme, _)) = first.split_once(':') {
            if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
                return refuse("its scheme is not of the web", "a relative URL, http: or https:");
            }
            return match path[scheme.len() + 1..].strip_prefix("//") {
                Some(rest) if rest.split('/').next().is_some_and(|host| host.contains('@')) => {
                    refuse("it carries a name or a password", "a URL without credentials")
                }
                Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(Location::Web),
                _ => refuse("it names no host", "https://host/path"),
            };
        }
        let names: Option<Vec<String>> = path.split('/').map(name).collect();
        match names {
            Some(names) => Ok(Location::Beside(names)),
            None => refuse("it leaves the catalogue's folder", "names of folders and of a file, joined by /"),
        }
    }

    /// The relative URL of a file: names of folders and, last, of the file.
    pub fn relative_url(names: &[impl AsRef<str>]) -> String {
        let encoded: Vec<String> =
            names.iter().map(|name| utf8_percent_encode(name.as_ref(), RESERVED).to_string()).collect();
        encoded.join("/")
    }
}

/// A decoded name in a path, unless it is one that leads elsewhere than down.
fn name(encoded: &str) -> Option<String> {
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    let leads_elsewhere = name.is_empty() || name == "." || name == "..";
    let is_several = name.contains(|c: char| c == '/' || c == '\\' || c == ':' || c.is_control());
    (!leads_elsewhere && !is_several).then(|| name.into_owned())
}
