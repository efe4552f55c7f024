// Sends the files of a folder, or an archive, in pieces, each with its path below that folder.
const PIECE = 8 * 2 ** 20; // bytes

async function filesOf(entry) {
  if (entry instanceof File) return [[entry.name, entry]];
  if (entry.isFile) {
    const file = await new Promise((found, failed) => entry.file(found, failed));
    return [[entry.fullPath.slice(1), file]];
  }
  const reader = entry.createReader(), files = [];
  for (;;) {
    const some = await new Promise((found, failed) => reader.readEntries(found, failed));
    if (!some.length) return files;
    for (const one of some) files.push(...(await filesOf(one)));
  }
}

export default {
  template: `
    <div class="column gap-2 q-pa-md rounded-borders" style="border: 2px dashed rgba(128, 128, 128, .6)" @dragover.prevent @drop.prevent="dropped">
      <div>{{ busy ? done + ' / ' + all : texts.drop }}</div>
      <q-linear-progress v-if="busy" :value="done / all" instant-feedback />
      <div class="flex gap-2">
        <q-btn no-caps outline :disable="busy" :label="texts.folder" @click="$refs.folder.click()" />
        <q-btn no-caps outline :disable="busy" :label="texts.archive" @click="$refs.archive.click()" />
      </div>
      <input ref="folder" type="file" webkitdirectory multiple hidden @change="chosen" />
      <input ref="archive" type="file" accept=".zip" hidden @change="chosen" />
    </div>`,
  props: { url: String, texts: Object },
  data: () => ({ busy: false, done: 0, all: 0 }),
  methods: {
    chosen(event) {
      const files = [...event.target.files];
      event.target.value = "";
      this.send(Promise.resolve(files.map((one) => [one.webkitRelativePath || one.name, one])));
    },
    dropped(event) {
      const entries = [...event.dataTransfer.items]
        .filter((one) => one.kind === "file")
        .map((one) => one.webkitGetAsEntry() || one.getAsFile());
      this.send(Promise.all(entries.map(filesOf)).then((some) => some.flat()));
    },
    async send(files) {
      if (this.busy) return;
      Object.assign(this, { busy: true, done: 0, all: 1 });
      try {
        const found = await files;
        this.all = Math.max(1, found.length);
        for (const [path, file] of found) {
          for (let at = 0; at === 0 || at < file.size; at += PIECE) {
            const url = `${window.path_prefix || ""}${this.url}?${new URLSearchParams({ path, at })}`;
            const answer = await fetch(url, { method: "POST", body: file.slice(at, at + PIECE) });
            if (!answer.ok) throw new Error((await answer.json()).error);
          }
          this.done += 1;
        }
        this.$emit("sent", "");
      } catch (error) {
        this.$emit("sent", error.message || "?");
      }
      this.busy = false;
    },
  },
};
