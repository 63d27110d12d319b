// The former name of the preload.
import './typescript.mjs';
