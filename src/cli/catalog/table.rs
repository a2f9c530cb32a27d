//! The table of `gander catalog check`.

use gander::catalog::Catalog;

/// What is said of one expert.
pub struct Row {
    pub id: String,
    pub pages: usize,
    pub bytes: u64,
    /// As safetensors names them: `F16`.
    pub types: String,
    pub ranks: String,
    /// None where the gates could not be read.
    pub gates: Option<usize>,
    pub modules: usize,
    /// What became of the adapter file: `read`, `not read`, `elsewhere`.
    pub adapter: &'static str,
    pub problems: usize,
}

const TITLES: [&str; 8] = ["expert", "pages", "bytes", "type", "rank", "gates", "adapter", "problems"];

/// Prints what a catalogue is, and a line for each expert.
pub fn print(catalog: &Catalog, rows: &[Row], has_base: bool) {
    let Catalog { name, version, base, router, gates, .. } = catalog;
    println!("catalogue {name:?}, version {version}, top_k {}, {} bytes of gates", router.top_k, gates.bytes);
    let compared = if has_base { "" } else { " (not compared: no --base)" };
    println!("base {:?}, {}{compared}", base.name, base.fingerprint);
    let cells: Vec<[String; 8]> =
        std::iter::once(TITLES.map(str::to_owned)).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in &cells {
        let padded: Vec<String> = (row.iter().enumerate())
            .map(|(column, cell)| match column {
                0 => format!("{cell:<width$}", width = width(column)),
                _ => format!("{cell:>width$}", width = width(column)),
            })
            .collect();
        println!("{}", padded.join("  "));
    }
    if rows.iter().any(|row| row.adapter == "elsewhere") {
        println!("Adapters that are elsewhere were not read; --copies compares local copies of them.");
    }
}

impl Row {
    fn cells(&self) -> [String; 8] {
        [
            // Strings of a catalogue may hold anything, also what a terminal would take for a command.
            self.id.escape_debug().to_string(),
            self.pages.to_string(),
            self.bytes.to_string(),
            self.types.escape_debug().to_string(),
            self.ranks.clone(),
            format!("{}/{}", self.gates.map_or("?".to_owned(), |gates| gates.to_string()), self.modules),
            self.adapter.to_owned(),
            self.problems.to_string(),
        ]
    }
}
