//! `spadina explain CODE`: what a message means, with a wrong and a right example.

use super::args::ExplainArgs;
use super::codes::CODES;
use super::console;
use spadina::error::Error;

pub(crate) fn explain(args: &ExplainArgs) -> Result<(), Error> {
    let Some(code) = &args.code else {
        let list: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
        return console::print(&format!("{}\n", list.join("\n")));
    };
    let code = code.trim_end_matches(']');
    let code =
        ["error[", "warning[", "note["].iter().fold(code, |code, start| code.trim_start_matches(start));
    match CODES.binary_search_by_key(&code, |(known, _)| known) {
        Ok(at) => console::print(CODES[at].1),
        Err(_) => {
            Err(Error::Usage(format!("no message has the code `{code}` (`spadina explain` lists all)")))
        }
    }
}
