import { suite } from "./suite.mjs";

suite("rivetkit-2.2");
