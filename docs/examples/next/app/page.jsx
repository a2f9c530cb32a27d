import { Cleaner } from "./cleaner.jsx";

export default function Page() {
  return <Cleaner />;
}
