import { Gander } from "gander";
import { useEffect, useState } from "react";

/** A model for as long as the component is there: `{ model, error }`, both null while it is on its way. */
export function useGander(base, experts) {
  const [state, setState] = useState({ model: null, error: null });

  // React may run an effect twice, and ends the first run before the second: each run ends its own model.
  useEffect(() => {
    const leaving = new AbortController();
    const loading = Gander.load({ base, experts, signal: leaving.signal });
    // What comes for a component that has gone, or for an earlier run, is not shown.
    const show = (state) => !leaving.signal.aborted && setState(state);
    loading.then(
      (model) => show({ model, error: null }),
      (error) => show({ model: null, error }),
    );
    return () => {
      leaving.abort();
      setState({ model: null, error: null });
      loading.then((model) => model.dispose()).catch(() => {});
    };
  }, [base, experts]);

  return state;
}
