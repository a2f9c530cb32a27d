// The page's own database: judgements, the routing of each, and how often experts were chosen.

const NAME = "gander-demo";
const VERSION = 1;

export type StoreName = "judgements" | "routings" | "usage";

let opening: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opening ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("judgements", { keyPath: "id", autoIncrement: true });
      request.result.createObjectStore("routings");
      request.result.createObjectStore("usage");
    };
    request.onsuccess = () => resolve(request.result);
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
