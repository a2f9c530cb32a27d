// The page's own database: judgements, the routing of each, how often experts were chosen, and the latest column.

const NAME = "gander-demo";
const VERSION = 2;

/** Each with the version that brought it. Without options the key is given with the value. */
const stores = {
  judgements: { since: 1, options: { keyPath: "id", autoIncrement: true } },
  routings: { since: 1, options: {} },
  usage: { since: 1, options: {} },
  column: { since: 2, options: {} },
  "column-results": { since: 2, options: { autoIncrement: true } },
  "column-routings": { since: 2, options: {} },
};

export type StoreName = keyof typeof stores;

let opening: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opening ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = ({ oldVersion }) => {
      for (const [name, { since, options }] of Object.entries(stores)) {
        if (since > oldVersion) request.result.createObjectStore(name, options);
      }
    };
    request.onblocked = () => reject(new Error("another tab has an older version of this page open"));
    request.onsuccess = () => {
      // A newer version of this page, in another tab, must not wait for this one.
      request.result.onversionchange = () => {
        request.result.close();
        opening = undefined;
      };
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  }).catch((error) => {
    opening = undefined;
    throw error;
  });
  return opening;
}

/** One transaction. What `work` asks of the stores is done wholly or not at all; its last request's answer is returned. */
export async function transact<T>(
  names: StoreName[],
  mode: "readonly" | "readwrite",
  work: (storeOf: (name: StoreName) => IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const database = await open();
  return new Promise<T>((resolve, reject) => {
    const transaction = database.transaction(names, mode);
    const request = work((name) => transaction.objectStore(name));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  });
}
