//! A catalogue in the making: everything that is written when all of it is known to be right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gander::catalog::{
    BaseReference, Catalog, ExpertRecord, FileReference, RouterDefaults, gates::key, gates::parse_key,
};
use gander::experts::{hex, sha256};
use gander::formats::open::read;
use gander::formats::peft;
use gander::{Error, ErrorCode, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::cli::host;
use crate::cli::output::Output;

/// A catalogue, its gates, and the files to be written with them.
pub struct Draft {
    /// The folder that holds all of it.
    pub folder: PathBuf,
    /// Its gates reference is brought up to date when it is saved.
    pub catalog: Catalog,
    /// Files of experts, written beside their places.
    pub output: Output,
    gates: BTreeMap<String, Gate>,
}

/// A gate as its file has it.
struct Gate {
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Draft {
    /// A catalogue without experts, in a folder that is made if it is not there.
    pub fn new(folder: &Path, name: &str, base: BaseReference) -> Result<Draft> {
        let mut output = Output::default();
        output.folder(folder)?;
        let catalog = Catalog {
            format: Catalog::FORMAT.to_owned(),
            version: Catalog::VERSION.to_owned(),
            name: name.to_owned(),
            base,
            router: RouterDefaults::default(),
            gates: reference(peft::GATES.to_owned(), &[]),
            vectors: serde_json::Map::new(),
            experts: Vec::new(),
        };
        Ok(Draft { folder: folder.to_owned(), catalog, output, gates: BTreeMap::new() })
    }

    /// The catalogue that is in a folder.
    pub fn open(folder: &Path) -> Result<Draft> {
        let file = folder.join(host::CATALOG);
        let catalog = Catalog::parse(&file.display().to_string(), &read(&file)?)?;
        let Some(gates_file) = host::beside(&file, &catalog.gates.url)? else {
            let expected = "a gates file beside the catalogue, which can be rewritten with it";
            return Err(Error::new(ErrorCode::Unsupported, &catalog.gates.url, "is elsewhere", expected));
        };
        let bytes = host::read_described(&gates_file, &catalog.gates)?;
        // Reads every gate, and so finds what is wrong with one before it is written again.
        catalog.experts(&bytes).map_err(|error| error.inside(file.display()))?;
        let tensors = SafeTensors::deserialize(&bytes).expect("its header was read just now");
        let gate = |(name, view): (&str, TensorView)| {
            (name.to_owned(), Gate { dtype: view.dtype(), bytes: view.data().to_vec() })
        };
        let gates = tensors.iter().map(gate).collect();
        Ok(Draft { folder: folder.to_owned(), catalog, output: Output::default(), gates })
    }

    /// Puts an expert at the end, or in the place of the one that has its id.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] where the id is taken and may not be replaced.
    pub fn put(
        &mut self,
        record: ExpertRecord,
        gates: &BTreeMap<String, Vec<f32>>,
        replace: bool,
    ) -> Result<()> {
        self.drop_gates(&record.id);
        self.drop_vectors();
        for (module, gate) in gates {
            let bytes = gate.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.gates.insert(key(&record.id, module), Gate { dtype: Dtype::F32, bytes });
        }
        match self.catalog.experts.iter_mut().find(|expert| expert.id == record.id) {
            Some(_) if !replace => {
                let place = format!("expert {:?}", record.id);
                let expected =
                    "an id of its own; gander catalog add --replace puts one expert in the place of another";
                return Err(Error::new(ErrorCode::InvalidOption, place, "the id is taken", expected));
            }
            Some(expert) => *expert = record,
            None => self.catalog.experts.push(record),
        }
        Ok(())
    }

    /// Takes an expert out.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownExpert`]
    pub fn remove(&mut self, id: &str) -> Result<()> {
        let experts = &mut self.catalog.experts;
        let Some(at) = experts.iter().position(|expert| expert.id == id) else {
            let known: Vec<&str> = experts.iter().map(|expert| expert.id.as_str()).collect();
            let (problem, expected) =
                (format!("there is no expert {id:?}"), format!("one of: {}", known.join(", ")));
            return Err(Error::new(ErrorCode::UnknownExpert, "remove", problem, expected));
        };
        experts.remove(at);
        self.drop_gates(id);
        self.drop_vectors();
        Ok(())
    }

    fn drop_gates(&mut self, id: &str) {
        self.gates.retain(|key, _| parse_key(key).is_none_or(|(owner, _)| owner != id));
    }

    /// Other strategies' vectors are of all experts together.
    fn drop_vectors(&mut self) {
        for strategy in std::mem::take(&mut self.catalog.vectors).keys() {
            eprintln!(
                "gander: the vectors for {strategy} are of other experts: gander catalog vectors makes new ones"
            );
        }
    }

    /// Writes the gates and the catalogue, if what is to be written reads back without a problem, and says what is there now.
    pub fn save(mut self) -> Result<()> {
        let gates = serialize(&self.gates);
        self.catalog.gates = reference(self.catalog.gates.url, &gates);
        let file = self.folder.join(host::CATALOG);
        let json = self.catalog.to_json();
        let shown = file.display().to_string();
        Catalog::parse(&shown, &json)?.experts(&gates).map_err(|error| error.inside(&shown))?;
        let Some(gates_file) = host::beside(&file, &self.catalog.gates.url)? else {
            unreachable!("a draft's gates are beside it")
        };
        // The catalogue comes last: it is what makes the others count.
        self.output.write(&gates_file, &gates)?;
        self.output.write(&file, &json)?;
        self.output.commit()?;
        let experts = &self.catalog.experts;
        let pages: usize = experts.iter().map(|expert| expert.pages.len()).sum();
        let bytes: u64 = experts.iter().map(|expert| expert.adapter.bytes).sum();
        println!(
            "{shown}: {} expert{}, {pages} pages, {bytes} bytes of adapters, {} of gates",
            experts.len(),
            if experts.len() == 1 { "" } else { "s" },
            gates.len(),
        );
        Ok(())
    }
}

fn serialize(gates: &BTreeMap<String, Gate>) -> Vec<u8> {
    let views = gates.iter().map(|(key, Gate { dtype, bytes })| {
        let shape = vec![bytes.len() * 8 / dtype.bitsize()];
        (key, TensorView::new(*dtype, shape, bytes).expect("as many bytes as the shape says"))
    });
    safetensors::serialize(views, None).expect("names and shapes are in order")
}

/// A file as a catalogue describes it.
pub fn reference(url: String, bytes: &[u8]) -> FileReference {
    FileReference { url, bytes: bytes.len() as u64, sha256: hex(&sha256(bytes)) }
}
