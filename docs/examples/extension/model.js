/** Where base and catalogue are. The server has to send `access-control-allow-origin`. */
export const MODEL = "https://cdn.example/ocean/";
